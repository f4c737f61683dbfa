"""TensorFlow.js: layers models (``model.json`` and its shards) → Model."""
