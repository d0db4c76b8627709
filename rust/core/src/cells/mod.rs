//! The recurrent cells, each one a [`crate::map::StateMap`].

pub mod lstm;
