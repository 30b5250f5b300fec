//! The directories of the queue's journals: which there are, and how one is emptied.

use crate::base::disk::Disk;
use std::io;

/// Everything of the queue, from the root of the data directory.
const DIR: &str = "relay";

/// The directory of a slot's journal, from the root of the data directory.
pub fn slot_dir(slot: u32) -> String {
    format!("{DIR}/{slot}")
}

/// The slots that hold files. An emptied one keeps its directories.
pub fn slots(disk: &dyn Disk) -> io::Result<Vec<u32>> {
    let mut slots = Vec::new();
    for name in list(disk, DIR)? {
        let Ok(slot) = name.parse::<u32>() else { continue };
        if !list(disk, &format!("{DIR}/{slot}/journal"))?.iter().all(|name| name == "large") {
            slots.push(slot);
        }
    }
    Ok(slots)
}

/// Removes all files of a slot's journal, durably. It must be closed.
pub fn remove_slot(disk: &dyn Disk, slot: u32) -> io::Result<()> {
    // The segments last: with one of them there, the slot still counts as one that holds something.
    for dir in ["journal/large", "journal"] {
        let dir = format!("{}/{dir}", slot_dir(slot));
        let mut removed = false;
        for name in list(disk, &dir)? {
            match name.as_str() {
                "large" => continue,
                _ => disk.remove(&format!("{dir}/{name}"))?,
            }
            removed = true;
        }
        if removed {
            disk.sync_dir(&dir)?;
        }
    }
    Ok(())
}

/// The names in a directory; none if there is no such directory.
fn list(disk: &dyn Disk, dir: &str) -> io::Result<Vec<String>> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}
