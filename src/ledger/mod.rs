//! What may be lost: caches of looked-up keys, the memory of keys once seen, counters.
//!
//! Names are HMACed and values sealed, because together they are the social graph.
