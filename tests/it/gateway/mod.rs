//! The gateway through its real router: who may do what, what is answered, what is refused and how.

mod tokens;
