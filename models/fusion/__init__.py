"""The fusion of clinical, radiomics and deep features: fitted with scikit-learn, then frozen."""
