"""Forward passes of models: KV cache, prefix reuse, batching across texts, CUDA graphs."""
