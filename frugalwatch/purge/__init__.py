"""Deleting what FrugalWatch has stored: what there is (`found`), and making it go (`removal`)."""
