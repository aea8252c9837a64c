"""The report: an artifact's summary and tables as one page of HTML."""
