//! The one truth on disk: segments, batches, recovery, erase, compaction. A machine over the trait `Disk`, without threads.
