"""Run a plan on a real model: engines, verifiers, search strategies, selection, receipts."""
