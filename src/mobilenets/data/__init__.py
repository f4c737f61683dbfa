"""Images in: folders, CSV files and the bundled sample; decoding, splitting, augmentation."""
