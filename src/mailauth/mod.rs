//! SPF, DKIM, DMARC and ARC verdicts on what comes in, and DKIM signatures on what goes out.
//!
//! Verdicts are made by the trait implemented in `host`; what they mean is decided here.
