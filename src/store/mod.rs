//! Account files, arrival records, and the traits of journal and index as the mailbox role needs them.
