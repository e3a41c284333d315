"""The estimators with scikit-learn's interface; nothing else imports scikit-learn."""
