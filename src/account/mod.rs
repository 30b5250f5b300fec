//! One unlocked account as a machine: fold, change, views, search.
