"""Fill the cache of compiled kernels: `python -m models.features.radiomics.warmup`.

Run at installation (`make setup`), so that a worker's first case is not some seconds late.
"""

from models.features.radiomics.compilation import compile_kernels

if __name__ == "__main__":
    compile_kernels()
