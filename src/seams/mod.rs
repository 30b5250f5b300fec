//! The traits where roles meet.
