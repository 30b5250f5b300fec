//! The real disk: one directory, locked for one server, reached by file descriptors only.
//!
//! Every path is walked component by component from the directory's descriptor and no symbolic link
//! is followed, so that whoever can write into the data directory cannot make the server write
//! elsewhere. Files are made with mode 0600, directories with 0700. The directory is locked with
//! `flock` as long as a [`DataDir`] lives.
//!
//! # Known gaps
//! Where the file system cannot punch holes, zeros are written and no block is given back. `flock`
//! does not keep a second machine out on a network file system.

use crate::base::disk::{Disk, DiskFile, FileIdentity};
use rustix::fs::{self, AtFlags, FallocateFlags, FlockOperation, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// Components that a path may have: `journal/large/<object>` has three.
const PATH_COMPONENTS_MAX: usize = 8;
/// Octets of zeros written at once where holes cannot be punched.
const ZEROS_BYTES: usize = 64 << 10;

/// A data directory, locked.
#[derive(Debug)]
pub struct DataDir {
    root: OwnedFd,
    /// Nothing in it is made, changed or removed.
    read_only: bool,
}

impl DataDir {
    /// Opens the directory, making it if need be, and locks it. `WouldBlock`: another server has
    /// it.
    pub fn open(path: &Path) -> io::Result<Self> {
        match fs::mkdir(path, Mode::RWXU) {
            Err(Errno::EXIST) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
        DataDir::lock(path, false)
    }

    /// The same for one that is there, which is only to be looked at: on a read-only file system
    /// too, a snapshot or a backup. Whatever would change something fails.
    pub fn open_read_only(path: &Path) -> io::Result<Self> {
        DataDir::lock(path, true)
    }

    fn lock(path: &Path, read_only: bool) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(path, flags, Mode::empty())?;
        fs::flock(&root, FlockOperation::NonBlockingLockExclusive)?;
        Ok(DataDir { root, read_only })
    }

    fn may_write(&self) -> io::Result<()> {
        match self.read_only {
            true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            false => Ok(()),
        }
    }

    /// The directory that `dir` names.
    fn dir(&self, dir: &str) -> io::Result<OwnedFd> {
        let mut at = self.root.try_clone()?;
        for component in components(dir)? {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            at = fs::openat(&at, component, flags, Mode::empty())?;
        }
        Ok(at)
    }

    /// The directory that holds `path`, and the last component.
    fn parent<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        components(name)?.next().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.dir(dir)?, name))
    }

    fn open_at(&self, path: &str, extra: OFlags) -> io::Result<Arc<dyn DiskFile>> {
        let (dir, name) = self.parent(path)?;
        let access = if self.read_only { OFlags::RDONLY } else { OFlags::RDWR };
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
        let file = fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Arc::new(RealFile { file }))
    }
}

impl Disk for DataDir {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.may_write()?;
        self.open_at(path, OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_at(path, OFlags::empty())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(self.dir(dir)?)? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.may_write()?;
        let mut at = self.root.try_clone()?;
        for component in components(dir)? {
            match fs::mkdirat(&at, component, Mode::RWXU) {
                Err(Errno::EXIST) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            at = fs::openat(&at, component, flags, Mode::empty())?;
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may_write()?;
        let ((from_dir, from), (to_dir, to)) = (self.parent(from)?, self.parent(to)?);
        Ok(fs::renameat(from_dir, from, to_dir, to)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.may_write()?;
        let (dir, name) = self.parent(path)?;
        Ok(fs::unlinkat(dir, name, AtFlags::empty())?)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        Ok(fs::fsync(self.dir(dir)?)?)
    }

    fn identity(&self, path: &str) -> io::Result<FileIdentity> {
        let (dir, name) = self.parent(path)?;
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let stat = fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, wanted)?;
        let known = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
        let seconds = u64::try_from(stat.stx_btime.tv_sec).unwrap_or(0);
        let born_ns = seconds * 1_000_000_000 + u64::from(stat.stx_btime.tv_nsec);
        Ok(FileIdentity { inode: stat.stx_ino, born_ns: if known { born_ns } else { 0 } })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = fs::fstatvfs(&self.root)?;
        // Some file systems have no fixed number of inodes and say 0 of 0.
        let out_of_inodes = stat.f_files > 0 && stat.f_favail == 0;
        Ok(if out_of_inodes { 0 } else { stat.f_bavail.saturating_mul(stat.f_frsize) })
    }
}

/// An open file.
struct RealFile {
    file: OwnedFd,
}

impl DiskFile for RealFile {
    fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match rustix::io::pread(&self.file, &mut *buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    offset += read as u64;
                    buffer = &mut buffer[read..];
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::pwrite(&self.file, bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    bytes = &bytes[written..];
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Never repeated by anyone: after an error Linux says OK over lost octets.
        Ok(fs::fdatasync(&self.file)?)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(fs::fstat(&self.file)?.st_size).unwrap_or(0))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(fs::ftruncate(&self.file, len)?)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let held = self.len()?;
                self.write_zeros(held, len.saturating_sub(held))
            }
            other => Ok(other?),
        }
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fs::fallocate(&self.file, flags, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.write_zeros(offset, len),
            other => Ok(other?),
        }
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(fs::fadvise(&self.file, 0, None, fs::Advice::DontNeed)?)
    }
}

impl RealFile {
    fn write_zeros(&self, mut offset: u64, mut len: u64) -> io::Result<()> {
        let zeros = [0; ZEROS_BYTES];
        while len > 0 {
            let part = len.min(ZEROS_BYTES as u64);
            self.write_at(offset, &zeros[..part as usize])?;
            offset += part;
            len -= part;
        }
        Ok(())
    }
}

/// The components of a path: none for the root, and never one that leads elsewhere.
fn components(path: &str) -> io::Result<impl Iterator<Item = &str> + Clone> {
    let parts = path.split('/').filter(|_| !path.is_empty());
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    if parts.clone().any(bad) || parts.clone().count() > PATH_COMPONENTS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("postseal-disk-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn a_directory_has_one_server() {
        let path = scratch("lock");
        let first = DataDir::open(&path).unwrap();
        assert_eq!(DataDir::open(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        DataDir::open(&path).unwrap();
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_directory_that_is_only_looked_at_is_not_changed() {
        let path = scratch("look");
        assert!(DataDir::open_read_only(&path).is_err(), "none is made");
        let disk = DataDir::open(&path).unwrap();
        disk.create("f").unwrap().write_at(0, b"abc").unwrap();
        drop(disk);
        let disk = DataDir::open_read_only(&path).unwrap();
        assert_eq!(DataDir::open(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let mut read = [0; 3];
        disk.open("f").unwrap().read_at(0, &mut read).unwrap();
        assert_eq!(&read, b"abc");
        assert!(disk.open("f").unwrap().write_at(0, b"x").is_err());
        let refused = io::ErrorKind::ReadOnlyFilesystem;
        assert_eq!(disk.create("g").err().unwrap().kind(), refused);
        assert_eq!(disk.create_dir("d").unwrap_err().kind(), refused);
        assert_eq!(disk.rename("f", "g").unwrap_err().kind(), refused);
        assert_eq!(disk.remove("f").unwrap_err().kind(), refused);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn files_are_written_read_renamed_and_told_from_copies() {
        let path = scratch("files");
        let disk = DataDir::open(&path).unwrap();
        disk.create_dir("a/b").unwrap();
        let file = disk.create("a/b/f").unwrap();
        assert_eq!(disk.create("a/b/f").err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        file.write_at(3, b"abc").unwrap();
        file.sync_data().unwrap();
        file.punch(3, 1).unwrap();
        let mut read = [1; 6];
        file.read_at(0, &mut read).unwrap();
        assert_eq!(&read, b"\0\0\0\0bc");
        let eof = file.read_at(1, &mut read).unwrap_err().kind();
        assert_eq!(eof, io::ErrorKind::UnexpectedEof);
        let before = disk.identity("a/b/f").unwrap();
        disk.rename("a/b/f", "a/b/g").unwrap();
        disk.sync_dir("a/b").unwrap();
        assert_eq!(disk.identity("a/b/g").unwrap(), before);
        assert_eq!(disk.list("a/b").unwrap(), ["g"]);
        std::fs::copy(path.join("a/b/g"), path.join("a/b/h")).unwrap();
        assert_ne!(disk.identity("a/b/h").unwrap(), before);
        disk.remove("a/b/g").unwrap();
        assert_eq!(disk.open("a/b/g").err().unwrap().kind(), io::ErrorKind::NotFound);
        assert!(disk.free_bytes().unwrap() > 0);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn no_path_leads_out_of_the_directory() {
        let path = scratch("links");
        let disk = DataDir::open(&path).unwrap();
        std::os::unix::fs::symlink("/etc", path.join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", path.join("passwd")).unwrap();
        for bad in ["etc/passwd", "passwd", "../x", "a/../../x", "/etc/passwd", "a//b", "."] {
            assert!(disk.open(bad).is_err(), "{bad}");
        }
        std::fs::remove_dir_all(path).unwrap();
    }
}
