"""The parts that a report's page is put together from: one file per section, their charts, markup and style."""
