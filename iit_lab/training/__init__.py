"""The one LightningModule, its data, batches, callbacks and loggers; evaluation."""
