"""A recorded run compared with the theory: laws, cautions, plateaus and cycles at the edge."""
