"""Recording a training loop: the recorder, and how it reads PyTorch and JAX loops."""
