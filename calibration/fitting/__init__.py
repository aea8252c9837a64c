"""From replayed outcomes to tables, predictors, scores and prices."""
