//! A directory of a disk as a disk of its own: for a part that brings its own fixed file names.

use super::{Disk, DiskFile, FileIdentity};
use std::io;
use std::sync::Arc;

/// The part of a disk that lies below one directory.
#[derive(Clone)]
pub struct Below {
    disk: Arc<dyn Disk>,
    dir: String,
}

impl Below {
    /// The directory `dir` of `disk`, made durably if it is not there.
    pub fn make(disk: Arc<dyn Disk>, dir: &str) -> io::Result<Below> {
        disk.create_dir(dir)?;
        let mut parent = dir;
        while let Some((above, _)) = parent.rsplit_once('/') {
            disk.sync_dir(above)?;
            parent = above;
        }
        disk.sync_dir("")?;
        Ok(Below { disk, dir: dir.to_owned() })
    }

    fn path(&self, path: &str) -> String {
        match path {
            "" => self.dir.clone(),
            _ => format!("{}/{path}", self.dir),
        }
    }
}

impl Disk for Below {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(&self.path(path))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(&self.path(path))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(&self.path(dir))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir(&self.path(dir))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.path(from), &self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(&self.path(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(&self.path(dir))
    }

    fn identity(&self, path: &str) -> io::Result<FileIdentity> {
        self.disk.identity(&self.path(path))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}

impl std::fmt::Debug for Below {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Below({})", self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Loss, MemoryDisk};
    use super::*;

    #[test]
    fn what_is_made_below_lies_in_the_directory_and_survives() {
        let disk = MemoryDisk::new();
        let below = Below::make(Arc::new(disk.clone()), "relay/0").unwrap();
        super::super::replace(&below, "name", b"octets").unwrap();
        disk.power_cut(Loss::All);
        assert_eq!(disk.paths(), ["relay/0/name"]);
        assert_eq!(below.list("").unwrap(), ["name"]);
    }
}
