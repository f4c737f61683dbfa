"""Web pages and ES modules that hold a Model and the engine as WebAssembly."""
