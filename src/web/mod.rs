//! Role: HTTPS. Publishes the keys of our users by WKD.
//!
//! Knows streams and traits: no socket, no file, no other role.
