//! The lab and the agent under test.
