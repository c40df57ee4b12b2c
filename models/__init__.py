"""Everything the model is: used alike by the node, by training and by evaluation."""
