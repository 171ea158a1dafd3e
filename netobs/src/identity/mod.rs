//! Judging who is behind an interface, an address or a socket.
