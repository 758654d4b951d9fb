"""The algorithms, one file each, of one shape: `build(job, model, tokenizer, rows) -> Trainer`."""
