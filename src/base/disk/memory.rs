//! The twin of the disk in memory: it loses what was not synced, tears writes and fails on demand.
//!
//! # What it models
//! - **Page cache**: what was written is read back at once and survives [`MemoryDisk::kill`] (the
//!   process dies), but after [`MemoryDisk::power_cut`] only what was synced is sure to be there.
//!   Of unsynced writes any 512-octet sector may have reached the device, in any order.
//! - **Names**: what was made, renamed or removed is durable after `sync_dir` of its directory. At
//!   a power cut, each directory keeps some prefix of its unsynced changes, as a journalling file
//!   system does; directories do not wait for each other.
//! - **A failed sync drops what was dirty**, as Linux does: reads still show it until the cache is
//!   dropped, and the next sync says OK although the octets are not on the device.
//! - **Faults**: the Nth operation of a kind fails, once or for ever, with EIO or ENOSPC; a failed
//!   write leaves a part of its octets behind. A capacity makes the disk full by itself.
//! - Handles from before a kill or a cut are dead: a process that is gone writes nothing more.
//!
//! # Known gaps
//! A rename survives whole or not at all, and never across directories. Sectors are never exchanged
//! for those of another file.

use super::{Disk, DiskFile, FileIdentity};
use crate::base::entropy::SeededEntropy;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a device writes as a unit, in octets.
const SECTOR_BYTES: usize = 512;

/// A disk in memory; clones are the same disk.
#[derive(Clone)]
pub struct MemoryDisk(Arc<Mutex<State>>);

/// The kinds of operations that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Making a file or a directory.
    Create,
    /// Opening a file.
    Open,
    /// Listing a directory.
    List,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making contents durable.
    Sync,
    /// Changing the length.
    SetLen,
    /// Reserving blocks.
    Allocate,
    /// Zeroing a range.
    Punch,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Making names durable.
    SyncDir,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// EIO. A write leaves half of its octets; a sync drops what was dirty.
    Io,
    /// ENOSPC. A write leaves half of its octets.
    NoSpace,
}

/// A planned fault.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The kind of operation; `None` for any that changes the disk.
    pub op: Option<Op>,
    /// Which of them, counted from now; 1 is the next.
    pub nth: u64,
    /// Whether all later ones fail too.
    pub lasting: bool,
    /// How.
    pub failure: Failure,
}

/// What a power cut takes of that which was not synced.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// Everything.
    All,
    /// What this seed decides, sector by sector.
    Some(u64),
}

struct State {
    inodes: BTreeMap<u64, Inode>,
    names: Names,
    durable_names: Names,
    unsynced_names: Vec<(String, NameChange)>,
    next_inode: u64,
    life: u64,
    capacity_bytes: Option<u64>,
    faults: Vec<Fault>,
    fired: u64,
    counts: BTreeMap<Op, u64>,
}

#[derive(Clone, Default)]
struct Names {
    files: BTreeMap<String, u64>,
    dirs: BTreeSet<String>,
}

#[derive(Clone)]
enum NameChange {
    Link(String, u64),
    Unlink(String),
    Rename(String, String),
    MakeDir(String),
}

#[derive(Clone, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// A sync failed: `live` shows octets that will never reach the device.
    phantom: bool,
}

#[derive(Clone)]
enum Change {
    Bytes(usize, Vec<u8>),
    Zeros(usize, usize),
    SetLen(usize),
}

struct MemoryFile {
    disk: MemoryDisk,
    inode: u64,
    life: u64,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDisk {
    /// An empty disk without limit.
    pub fn new() -> Self {
        MemoryDisk(Arc::new(Mutex::new(State {
            inodes: BTreeMap::new(),
            names: Names::default(),
            durable_names: Names::default(),
            unsynced_names: Vec::new(),
            next_inode: 1,
            life: 0,
            capacity_bytes: None,
            faults: Vec::new(),
            fired: 0,
            counts: BTreeMap::new(),
        })))
    }

    /// The process dies, the machine stays: all that was written is still to be read, nothing of it
    /// became more durable.
    pub fn kill(&self) {
        self.state().life += 1;
    }

    /// The power fails and comes back. Planned faults are forgotten.
    pub fn power_cut(&self, loss: Loss) {
        let mut state = self.state();
        state.life += 1;
        state.faults.clear();
        let dice = match loss {
            Loss::All => None,
            Loss::Some(seed) => Some(SeededEntropy::new(seed)),
        };
        state.lose(dice.as_ref());
    }

    /// Plans a fault.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Forgets all planned faults. What was lost stays lost.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// How many operations failed by plan so far.
    pub fn fired(&self) -> u64 {
        self.state().fired
    }

    /// How many operations of a kind there were so far.
    pub fn count(&self, op: Op) -> u64 {
        self.state().counts.get(&op).copied().unwrap_or(0)
    }

    /// Limits the octets that all files may hold together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// Flips the bits of `mask` in one octet, on the device and in the cache.
    pub fn flip(&self, path: &str, offset: u64, mask: u8) {
        let mut state = self.state();
        let inode = state.names.files[path];
        let inode = state.inodes.get_mut(&inode).expect("names point at inodes");
        for copy in [&mut inode.live, &mut inode.durable] {
            if let Some(octet) = copy.get_mut(offset as usize) {
                *octet ^= mask;
            }
        }
    }

    /// The paths of all files, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.state().names.files.keys().cloned().collect()
    }

    /// What a file holds, as a reader sees it.
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.inodes[state.names.files.get(path)?].live.clone())
    }

    /// Another disk with a copy of every file, as a backup tool makes it: same names and octets,
    /// other inodes. All of it is durable.
    pub fn duplicate(&self) -> MemoryDisk {
        let copy = MemoryDisk::new();
        {
            let (from, mut to) = (self.state(), copy.state());
            to.next_inode = from.next_inode;
            to.names.dirs = from.names.dirs.clone();
            for (path, inode) in &from.names.files {
                let live = from.inodes[inode].live.clone();
                let number = to.new_inode();
                let durable = live.clone();
                to.inodes.insert(number, Inode { live, durable, ..Inode::default() });
                to.names.files.insert(path.clone(), number);
            }
            to.durable_names = to.names.clone();
        }
        copy
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn file(&self, inode: u64, life: u64) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile { disk: self.clone(), inode, life })
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.enter(Op::Create)?;
        if state.names.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.parent_exists(path)?;
        let inode = state.new_inode();
        state.inodes.insert(inode, Inode::default());
        state.rename_or_link(NameChange::Link(path.into(), inode), path);
        Ok(self.file(inode, state.life))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.enter(Op::Open)?;
        let inode = *state.names.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(inode, state.life))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.enter(Op::List)?;
        if !dir.is_empty() && !state.names.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = state.names.files.keys().chain(&state.names.dirs);
        let inside = all.filter(|path| !path.is_empty() && parent(path) == dir);
        let names = inside.map(|path| path.rsplit('/').next().unwrap_or(path).to_owned());
        Ok(names.collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Op::Create)?;
        let ends = dir.match_indices('/').map(|(at, _)| at).chain([dir.len()]);
        for end in ends.filter(|end| *end > 0) {
            let path = &dir[..end];
            if !state.names.dirs.contains(path) {
                state.rename_or_link(NameChange::MakeDir(path.into()), path);
            }
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Op::Rename)?;
        if !state.names.files.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        assert_eq!(parent(from), parent(to), "renames across directories are not modelled");
        state.rename_or_link(NameChange::Rename(from.into(), to.into()), to);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Op::Remove)?;
        if !state.names.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename_or_link(NameChange::Unlink(path.into()), path);
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        state.enter(Op::SyncDir)?;
        let (durable, kept) = std::mem::take(&mut state.unsynced_names)
            .into_iter()
            .partition(|(parent, _)| parent == dir);
        state.unsynced_names = kept;
        let durable: Vec<(String, NameChange)> = durable;
        durable.iter().for_each(|(_, change)| state.durable_names.apply(change));
        Ok(())
    }

    fn identity(&self, path: &str) -> io::Result<FileIdentity> {
        let state = self.state();
        let inode = *state.names.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(FileIdentity { inode, born_ns: inode * 1000 })
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        Ok(state.capacity_bytes.map_or(u64::MAX, |all| all.saturating_sub(state.used_bytes())))
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.enter(Op::Read)?;
        let live = &state.inode(self.inode).live;
        let end = (offset as usize).checked_add(buffer.len()).ok_or(io::ErrorKind::InvalidInput)?;
        buffer.copy_from_slice(live.get(offset as usize..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = offset as usize;
        let mut state = self.state()?;
        if let Err(error) = state.enter(Op::Write) {
            let part = bytes[..bytes.len() / 2].to_vec();
            state.inode(self.inode).change(Change::Bytes(offset, part));
            return Err(error);
        }
        let held = state.inode(self.inode).live.len();
        let grown = (offset + bytes.len()).saturating_sub(held) as u64;
        let room =
            state.capacity_bytes.map_or(u64::MAX, |all| all.saturating_sub(state.used_bytes()));
        if grown > room {
            let fits = (held + room as usize).saturating_sub(offset).min(bytes.len());
            let part = bytes[..fits].to_vec();
            state.inode(self.inode).change(Change::Bytes(offset, part));
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.inode(self.inode).change(Change::Bytes(offset, bytes.to_vec()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let failed = state.enter(Op::Sync);
        let inode = state.inode(self.inode);
        let unsynced = std::mem::take(&mut inode.unsynced);
        if failed.is_err() {
            inode.phantom |= !unsynced.is_empty();
            return failed;
        }
        unsynced.iter().for_each(|change| change.apply(&mut inode.durable));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        Ok(state.inode(self.inode).live.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.enter(Op::SetLen)?;
        state.inode(self.inode).change(Change::SetLen(len as usize));
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.enter(Op::Allocate)?;
        let held = state.inode(self.inode).live.len() as u64;
        let room =
            state.capacity_bytes.map_or(u64::MAX, |all| all.saturating_sub(state.used_bytes()));
        if len.saturating_sub(held) > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if len > held {
            state.inode(self.inode).change(Change::SetLen(len as usize));
        }
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut state = self.enter(Op::Punch)?;
        let inode = state.inode(self.inode);
        let held = inode.live.len();
        let start = (offset as usize).min(held);
        let end = (start + len as usize).min(held);
        inode.change(Change::Zeros(start, end - start));
        Ok(())
    }

    fn drop_cache(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let inode = state.inode(self.inode);
        if std::mem::take(&mut inode.phantom) {
            let len = inode.live.len();
            inode.live = inode.durable.clone();
            inode.live.resize(len, 0);
            inode.unsynced.iter().for_each(|change| change.apply(&mut inode.live));
        }
        Ok(())
    }
}

impl MemoryFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        match state.life == self.life {
            true => Ok(state),
            false => Err(io::Error::other("a handle from before the crash")),
        }
    }

    fn enter(&self, op: Op) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state()?;
        state.enter(op)?;
        Ok(state)
    }
}

impl State {
    /// Counts an operation, and fails it if a fault was planned for it.
    fn enter(&mut self, op: Op) -> io::Result<()> {
        *self.counts.entry(op).or_default() += 1;
        let changes = !matches!(op, Op::Open | Op::List | Op::Read);
        let mut hit = None;
        for fault in &mut self.faults {
            if fault.op == Some(op) || (fault.op.is_none() && changes) {
                fault.nth = fault.nth.saturating_sub(1);
                if fault.nth == 0 {
                    hit = Some(fault.failure);
                }
            }
        }
        self.faults.retain(|fault| fault.nth > 0 || fault.lasting);
        // A lasting fault stays at zero, and zero less one is zero: it hits again.
        let Some(failure) = hit else { return Ok(()) };
        self.fired += 1;
        Err(match failure {
            Failure::Io => io::Error::other("injected input/output error"),
            Failure::NoSpace => io::ErrorKind::StorageFull.into(),
        })
    }

    fn inode(&mut self, number: u64) -> &mut Inode {
        self.inodes.entry(number).or_default()
    }

    fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.next_inode
    }

    fn used_bytes(&self) -> u64 {
        self.names.files.values().map(|inode| self.inodes[inode].live.len() as u64).sum()
    }

    fn parent_exists(&self, path: &str) -> io::Result<()> {
        let dir = parent(path);
        match dir.is_empty() || self.names.dirs.contains(dir) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename_or_link(&mut self, change: NameChange, path: &str) {
        self.names.apply(&change);
        self.unsynced_names.push((parent(path).to_owned(), change));
    }

    /// What a power cut leaves: the durable state and what of the rest the dice let through.
    fn lose(&mut self, dice: Option<&SeededEntropy>) {
        let mut stopped = BTreeSet::new();
        for (dir, change) in std::mem::take(&mut self.unsynced_names) {
            let survives = dice.is_some_and(|dice| dice.next_u64() % 4 != 0);
            if survives && !stopped.contains(&dir) {
                self.durable_names.apply(&change);
            } else {
                stopped.insert(dir);
            }
        }
        self.durable_names.forget_what_has_no_parent();
        self.names = self.durable_names.clone();
        for inode in self.inodes.values_mut() {
            inode.lose(dice);
        }
        let named: BTreeSet<u64> = self.names.files.values().copied().collect();
        self.inodes.retain(|number, _| named.contains(number));
    }
}

impl Names {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Link(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            NameChange::Unlink(path) => {
                self.files.remove(path);
            }
            NameChange::Rename(from, to) => {
                if let Some(inode) = self.files.remove(from) {
                    self.files.insert(to.clone(), inode);
                }
            }
            NameChange::MakeDir(dir) => {
                self.dirs.insert(dir.clone());
            }
        }
    }

    fn forget_what_has_no_parent(&mut self) {
        // Parents sort before their children, so one pass in order is enough.
        let mut kept = BTreeSet::new();
        for dir in &self.dirs {
            if parent(dir).is_empty() || kept.contains(parent(dir)) {
                kept.insert(dir.clone());
            }
        }
        self.files.retain(|path, _| parent(path).is_empty() || kept.contains(parent(path)));
        self.dirs = kept;
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }

    fn lose(&mut self, dice: Option<&SeededEntropy>) {
        for change in std::mem::take(&mut self.unsynced) {
            if let Some(dice) = dice {
                change.apply_in_part(&mut self.durable, dice);
            }
        }
        self.live = self.durable.clone();
        self.phantom = false;
    }
}

impl Change {
    fn apply(&self, octets: &mut Vec<u8>) {
        match self {
            Change::Bytes(offset, bytes) => put(octets, *offset, bytes),
            Change::Zeros(offset, len) => put(octets, *offset, &vec![0; *len]),
            Change::SetLen(len) => octets.resize(*len, 0),
        }
    }

    /// Lets each sector through or not; a write may vanish or arrive as a whole, too.
    fn apply_in_part(&self, octets: &mut Vec<u8>, dice: &SeededEntropy) {
        let mode = dice.next_u64() % 4;
        match (mode, self) {
            (0, _) => {}
            (1, _) | (_, Change::SetLen(_)) => self.apply(octets),
            (_, Change::Bytes(offset, bytes)) => put_sectors(octets, *offset, bytes, dice),
            (_, Change::Zeros(offset, len)) => put_sectors(octets, *offset, &vec![0; *len], dice),
        }
    }
}

fn put(octets: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if octets.len() < offset + bytes.len() {
        octets.resize(offset + bytes.len(), 0);
    }
    octets[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn put_sectors(octets: &mut Vec<u8>, offset: usize, bytes: &[u8], dice: &SeededEntropy) {
    let mut at = 0;
    while at < bytes.len() {
        let end = (at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES).min(bytes.len());
        if dice.next_u64().is_multiple_of(2) {
            put(octets, offset + at, &bytes[at..end]);
        }
        at = end;
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(disk: &MemoryDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
        let file = disk.create(path).unwrap();
        file.write_at(0, bytes).unwrap();
        file
    }

    #[test]
    fn a_cut_takes_unsynced_contents_and_names() {
        let disk = MemoryDisk::new();
        written(&disk, "kept", b"one").sync_data().unwrap();
        disk.sync_dir("").unwrap();
        let file = disk.open("kept").unwrap();
        file.write_at(3, b" more").unwrap();
        written(&disk, "nameless", b"two").sync_data().unwrap();
        disk.power_cut(Loss::All);
        assert_eq!(disk.contents("kept").unwrap(), b"one");
        assert!(disk.contents("nameless").is_none());
        assert!(file.write_at(0, b"x").is_err(), "handles die with the process");
    }

    #[test]
    fn a_kill_keeps_what_was_written_but_makes_nothing_durable() {
        let disk = MemoryDisk::new();
        written(&disk, "f", b"one");
        disk.sync_dir("").unwrap();
        disk.kill();
        assert_eq!(disk.contents("f").unwrap(), b"one");
        disk.power_cut(Loss::All);
        assert_eq!(disk.contents("f").unwrap(), b"");
    }

    #[test]
    fn after_a_failed_sync_the_next_one_says_ok_over_lost_octets() {
        let disk = MemoryDisk::new();
        let file = written(&disk, "f", b"old");
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        file.write_at(0, b"new").unwrap();
        let once = Fault { op: Some(Op::Sync), nth: 1, lasting: false, failure: Failure::Io };
        disk.inject(once);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(disk.contents("f").unwrap(), b"new", "the cache still shows it");
        file.drop_cache().unwrap();
        assert_eq!(disk.contents("f").unwrap(), b"old");
    }

    #[test]
    fn sectors_survive_one_by_one() {
        let mut seen = BTreeSet::new();
        for seed in 0..64 {
            let disk = MemoryDisk::new();
            let file = written(&disk, "f", &[0; 1024]);
            file.sync_data().unwrap();
            disk.sync_dir("").unwrap();
            file.write_at(0, &[1; 1024]).unwrap();
            disk.power_cut(Loss::Some(seed));
            let left = disk.contents("f").unwrap();
            seen.insert((left[0], left[1023]));
        }
        assert_eq!(seen.len(), 4, "none, either and both: {seen:?}");
    }

    #[test]
    fn a_full_disk_takes_a_part_and_says_so() {
        let disk = MemoryDisk::new();
        disk.set_capacity(Some(10));
        let file = written(&disk, "f", b"12345678");
        let error = file.write_at(8, b"9abc").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.contents("f").unwrap(), b"123456789a");
        assert_eq!(disk.free_bytes().unwrap(), 0);
    }

    #[test]
    fn the_nth_fault_hits_once_or_for_ever() {
        for lasting in [false, true] {
            let disk = MemoryDisk::new();
            let file = written(&disk, "f", b"");
            disk.inject(Fault { op: None, nth: 2, lasting, failure: Failure::NoSpace });
            let outcomes: Vec<bool> = (0..4).map(|_| file.write_at(0, b"x").is_ok()).collect();
            assert_eq!(outcomes, [true, false, !lasting, !lasting]);
        }
    }

    #[test]
    fn a_duplicate_has_the_octets_and_other_inodes() {
        let disk = MemoryDisk::new();
        disk.create_dir("a/b").unwrap();
        written(&disk, "a/b/f", b"x");
        let copy = disk.duplicate();
        assert_eq!(copy.contents("a/b/f").unwrap(), b"x");
        assert_eq!(copy.list("a").unwrap(), ["b"]);
        assert_ne!(disk.identity("a/b/f").unwrap(), copy.identity("a/b/f").unwrap());
    }
}
