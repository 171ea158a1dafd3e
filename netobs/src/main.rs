//! Command line → exit status.
fn main() {}
