"""The series along training, and what it says: transitions, falls, claims, advice."""
