//! Damage to a disk that its node does not cause: decay, and copies that are put back from outside.

use std::collections::BTreeMap;
use std::io;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::SimDisk;
use super::faults::FaultKind;
use super::sectors::{SECTOR_BYTES, Sectors};
use crate::sim::dice::Dice;

/// A copy of a medium: all files whole, as a power cut that keeps nothing unsynced would leave them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Image {
    files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// The files' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// A file's bytes.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// Puts a file in, in place of one that may be there.
    pub fn insert(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.insert(name.to_owned(), bytes);
    }

    /// Takes a file out.
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        self.files.remove(name)
    }

    /// A hash of all names and bytes.
    pub fn digest(&self) -> u64 {
        self.files.iter().fold(0, |digest, (name, bytes)| {
            xxh3_64_with_seed(&xxh3_64(bytes).to_le_bytes(), xxh3_64_with_seed(name.as_bytes(), digest))
        })
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.files.iter().map(|(name, bytes)| (name, bytes.len()))).finish()
    }
}

/// Where something was damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file's name.
    pub file: String,
    /// The first byte.
    pub offset: usize,
    /// How many bytes were changed, or lost at the end.
    pub len: usize,
}

impl SimDisk {
    /// A copy of what is durable now, mounted or not.
    pub fn snapshot(&self) -> Image {
        let medium = self.medium();
        let files = medium.names.iter().filter_map(|(name, id)| {
            let bytes = medium.files.get(id)?.sectors.on_medium()?;
            Some((name.clone(), bytes))
        });
        Image { files: files.collect() }
    }

    /// Replaces everything by a copy. Refused with `ResourceBusy` while it is mounted.
    pub fn restore(&self, image: &Image) -> io::Result<()> {
        self.replace(image, FaultKind::Restored)
    }

    /// Erases everything. Refused with `ResourceBusy` while it is mounted.
    pub fn wipe(&self) -> io::Result<()> {
        self.replace(&Image::default(), FaultKind::Wiped)
    }

    /// Flips one durable bit of a file whose name starts with `prefix`, in a sector that is not all zeros, mounted or
    /// not. A reader sees it unless what is in memory is newer. `None` if there is no such sector.
    pub fn flip_bit(&self, prefix: &str, dice: &mut Dice) -> Option<Damage> {
        self.flip(self.place(prefix, dice)?, dice)
    }

    /// Flips a bit in what the file's newest sync wrote; otherwise the same as [`flip_bit`](Self::flip_bit).
    pub fn flip_newest_bit(&self, prefix: &str, dice: &mut Dice) -> Option<Damage> {
        self.flip(self.newest_place(prefix, dice)?, dice)
    }

    fn flip(&self, damage: Damage, dice: &mut Dice) -> Option<Damage> {
        let bit = dice.below(8);
        self.change(&damage, FaultKind::BitFlipped, |sectors| {
            sectors.change_on_medium(damage.offset, |byte| *byte ^= 1 << bit);
        })
    }

    /// Cuts short a file whose name starts with `prefix`, somewhere in the part that is in use. `None` if there is
    /// none. Refused with `ResourceBusy` while it is mounted.
    pub fn truncate(&self, prefix: &str, dice: &mut Dice) -> io::Result<Option<Damage>> {
        self.unmounted()?;
        let Some(mut damage) = self.place(prefix, dice) else { return Ok(None) };
        damage.len = self.len_of(&damage.file).saturating_sub(damage.offset);
        Ok(self.change(&damage, FaultKind::Truncated, |sectors| {
            sectors.set_len(damage.offset.min(sectors.len()));
            sectors.sync();
        }))
    }

    /// Writes zeros over one to eight sectors of a file whose name starts with `prefix`, the first of which was not all
    /// zeros. `None` if there is none. Refused with `ResourceBusy` while it is mounted.
    pub fn zero_range(&self, prefix: &str, dice: &mut Dice) -> io::Result<Option<Damage>> {
        self.unmounted()?;
        let Some(mut damage) = self.place(prefix, dice) else { return Ok(None) };
        damage.offset -= damage.offset % SECTOR_BYTES;
        let most = self.len_of(&damage.file).saturating_sub(damage.offset);
        damage.len = usize::try_from(dice.between(1, 8)).unwrap_or(1).saturating_mul(SECTOR_BYTES).min(most);
        Ok(self.change(&damage, FaultKind::Zeroed, |sectors| {
            sectors.write(damage.offset, &vec![0; damage.len]);
            sectors.sync();
        }))
    }

    fn unmounted(&self) -> io::Result<()> {
        if self.medium().is_mounted() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the disk is mounted"));
        }
        Ok(())
    }

    fn replace(&self, image: &Image, kind: FaultKind) -> io::Result<()> {
        self.unmounted()?;
        let mut medium = self.medium();
        medium.names.clear();
        medium.files.clear();
        for (name, bytes) in &image.files {
            medium.put(name, Sectors::durable(bytes.clone()));
        }
        medium.count(kind, 1);
        Ok(())
    }

    fn change(&self, damage: &Damage, kind: FaultKind, change: impl FnOnce(&mut Sectors)) -> Option<Damage> {
        let mut medium = self.medium();
        let id = medium.names.get(&damage.file).copied()?;
        change(&mut medium.files.get_mut(&id)?.sectors);
        medium.count(kind, 1);
        Some(damage.clone())
    }

    fn len_of(&self, name: &str) -> usize {
        let medium = self.medium();
        let file = medium.names.get(name).and_then(|id| medium.files.get(id));
        file.map_or(0, |file| file.sectors.len())
    }

    /// One byte in a durable sector that is not all zeros. Each file is as likely as another, and in it each sector.
    fn place(&self, prefix: &str, dice: &mut Dice) -> Option<Damage> {
        self.place_in(prefix, dice, |_, _| true)
    }

    /// The same, but in a sector that its file's newest sync made durable.
    fn newest_place(&self, prefix: &str, dice: &mut Dice) -> Option<Damage> {
        let newest: BTreeMap<String, Vec<usize>> = {
            let medium = self.medium();
            let files = medium.names.iter().filter_map(|(name, id)| Some((name, medium.files.get(id)?)));
            files.map(|(name, file)| (name.clone(), file.sectors.newest().to_vec())).collect()
        };
        self.place_in(prefix, dice, |name, number| {
            newest.get(name).is_some_and(|sectors| sectors.binary_search(&number).is_ok())
        })
    }

    fn place_in(
        &self,
        prefix: &str,
        dice: &mut Dice,
        is_meant: impl Fn(&str, usize) -> bool,
    ) -> Option<Damage> {
        let image = self.snapshot();
        let mut places = Vec::new();
        for (name, bytes) in image.files.iter().filter(|(name, _)| name.starts_with(prefix)) {
            let used: Vec<_> = bytes
                .chunks(SECTOR_BYTES)
                .enumerate()
                .filter(|(number, sector)| {
                    is_meant(name, *number) && [0; SECTOR_BYTES].get(..sector.len()) != Some(*sector)
                })
                .map(|(number, sector)| (number * SECTOR_BYTES, sector.len()))
                .collect();
            if !used.is_empty() {
                places.push((name, used));
            }
        }
        let (name, used) = dice.pick(&places)?;
        let (start, len) = dice.pick(used)?;
        let within = usize::try_from(dice.below(*len as u64)).unwrap_or(0);
        Some(Damage { file: (*name).clone(), offset: start.saturating_add(within), len: 1 })
    }
}
