//! The file of the audit trail: its permissions, its rotation, and the end of old files.
//!
//! A file that is full gets the trail's name with the time behind it, and a new one begins. Nothing but this module
//! touches them. A crash between the two leaves the full file under its new name and no present one, which the next
//! write makes. Everything here blocks the thread.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use assent_proof::Millis;
use assent_tls::secret_file::{Access, SecretFile, SecretFileProblem};

use super::setting::AuditConfig;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Only the node may read or write the file.
const MODE: u32 = 0o600;
/// The digits of the time in an old file's name, in milliseconds since 1970.
const DIGITS: usize = 13;
/// How many names are tried for an old file, if files were rotated in one millisecond.
const NAMES_TRIED: i64 = 1000;
/// The most names of the folder that are looked at.
const NAMES_MAX: usize = 100_000;

/// The file.
pub(crate) struct Sink {
    path: PathBuf,
    rotate_bytes: u64,
    keep_ms: i64,
    keep_files: usize,
    active: Option<Active>,
}

struct Active {
    file: File,
    /// What tells it from another file of the same name.
    id: (u64, u64),
    bytes: u64,
    /// When its first entry was written.
    since: Millis,
    /// Whether something was written that may not be on the disk yet.
    unsynced: bool,
}

impl Sink {
    /// Opens the file, if the configuration has one.
    ///
    /// # Errors
    /// Why it cannot be used, and what to do.
    pub(crate) fn open(config: &AuditConfig, now: Millis) -> Result<Option<Self>, String> {
        let Some(path) = config.path.clone() else { return Ok(None) };
        let mut sink = Self {
            path,
            rotate_bytes: config.rotate_mib.saturating_mul(1 << 20),
            keep_ms: i64::from(config.keep_days).saturating_mul(DAY_MS),
            keep_files: config.keep_files,
            active: None,
        };
        sink.active = Some(sink.open_active(now)?);
        Ok(Some(sink))
    }

    fn open_active(&self, now: Millis) -> Result<Active, String> {
        let shown = self.path.display();
        let unusable = |error: std::io::Error| format!("cannot open the audit trail `{shown}`: {error}");
        if fs::metadata(&self.path).is_ok_and(|about| !about.is_file()) {
            return Err(format!("`{shown}` is not a file: name another path in `audit.path`"));
        }
        let mut options = OpenOptions::new();
        let file = SecretFile::open_with(&self.path, options.append(true).create(true).mode(MODE));
        let file = file.and_then(|file| file.check(Access::Owner).map(|()| file));
        let file = file.map_err(|error| match error.problem() {
            SecretFileProblem::Io(error) => format!("cannot open the audit trail `{shown}`: {error}"),
            SecretFileProblem::NotAFile(_)
            | SecretFileProblem::Exposed { .. }
            | SecretFileProblem::TooLarge { .. } => format!("the audit trail `{shown}` is not used: {error}"),
        })?;
        let file = file.into_file();
        let about = file.metadata().map_err(unusable)?;
        self.sync_folder().map_err(unusable)?;
        let born = about.created().or_else(|_| about.modified()).ok();
        let born = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|born| i64::try_from(born.as_millis()).ok()).map(Millis);
        let since = born.filter(|_| about.len() > 0).unwrap_or(now);
        let id = (about.dev(), about.ino());
        Ok(Active { file, id, bytes: about.len(), since, unsynced: false })
    }

    /// Writes these lines. With `durable` they are on the disk when this returns.
    ///
    /// # Errors
    /// They are not all written, and the trail has none of them. An error of the disk may leave a part of a line.
    pub(crate) fn write(&mut self, lines: &[u8], now: Millis, durable: bool) -> Result<(), String> {
        let mut active = match self.active.take() {
            Some(active) if self.is_there(&active) => active,
            Some(_) | None => self.open_active(now)?,
        };
        let more = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let is_full = active.bytes.saturating_add(more) > self.rotate_bytes;
        if active.bytes > 0 && !lines.is_empty() && (is_full || active.is_old(now, self.keep_ms)) {
            let rotated = active.file.sync_all().and_then(|()| self.rotate(now));
            rotated.map_err(|error| {
                format!("cannot begin a new file of the audit trail `{}`: {error}", self.path.display())
            })?;
            active = self.open_active(now)?;
        }
        let written = active.append(lines, now, durable);
        if let Err(error) = &written {
            // The file is opened again for the next lines.
            return Err(format!("cannot write the audit trail `{}`: {error}", self.path.display()));
        }
        self.active = Some(active);
        Ok(())
    }

    /// Whether the file that is open is still the one at the path. Another program may have moved it away.
    fn is_there(&self, active: &Active) -> bool {
        fs::metadata(&self.path).is_ok_and(|about| (about.dev(), about.ino()) == active.id)
    }

    /// Gives the present file the name of an old one.
    fn rotate(&self, now: Millis) -> std::io::Result<()> {
        for later in 0..NAMES_TRIED {
            let name = self.old_name(now.0.max(0).saturating_add(later));
            if !name.try_exists()? {
                fs::rename(&self.path, name)?;
                return self.sync_folder();
            }
        }
        Err(std::io::Error::other("each name for the old file is taken"))
    }

    fn old_name(&self, at_ms: i64) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{at_ms:0DIGITS$}"));
        PathBuf::from(name)
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        }
    }

    fn sync_folder(&self) -> std::io::Result<()> {
        File::open(self.folder())?.sync_all()
    }

    /// The old files, by their times.
    fn old_files(&self) -> std::io::Result<Vec<(i64, PathBuf)>> {
        let Some(own) = self.path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for file in fs::read_dir(self.folder())?.take(NAMES_MAX) {
            let file = file?;
            let name = file.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix(own)?.strip_prefix('.'));
            let digits = digits.filter(|digits| digits.len() == DIGITS);
            let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            if let Some(at_ms) = digits.and_then(|digits| digits.parse().ok()) {
                found.push((at_ms, file.path()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes the old files beyond the number to keep and, if the time is sure, those that are too old. A present file
    /// that is old becomes an old one, so that the lines of a node without calls do not stay for ever.
    ///
    /// # Errors
    /// The first file that cannot be removed.
    pub(crate) fn prune(&mut self, sure_now: Option<Millis>) -> Result<(), String> {
        let (shown, keep_ms) = (self.path.display().to_string(), self.keep_ms);
        let failed =
            |error: std::io::Error| format!("cannot remove old files of the audit trail `{shown}`: {error}");
        if let Some(now) = sure_now
            && let Some(active) = self.active.take_if(|active| active.is_old(now, keep_ms))
        {
            active.file.sync_all().and_then(|()| self.rotate(now)).map_err(failed)?;
            self.active = Some(self.open_active(now)?);
        }
        let old = self.old_files().map_err(failed)?;
        let beyond = old.len().saturating_sub(self.keep_files);
        for (place, (at_ms, path)) in old.into_iter().enumerate() {
            let is_old = sure_now.is_some_and(|now| now.since(Millis(at_ms)) > keep_ms);
            if place < beyond || is_old {
                fs::remove_file(path).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl Active {
    /// Whether its first line is older than a tenth of the time for which files are kept. If the clock was set back, the
    /// file counts as new.
    fn is_old(&self, now: Millis, keep_ms: i64) -> bool {
        self.bytes > 0 && now.since(self.since) > keep_ms / 10
    }

    fn append(&mut self, lines: &[u8], now: Millis, durable: bool) -> std::io::Result<()> {
        if self.bytes == 0 {
            self.since = now;
        }
        if let Err(error) = self.file.write_all(lines) {
            // A part of a line would spoil the one that follows it.
            if self.file.set_len(self.bytes).is_err() {
                let _ = self.file.write_all(b"\n");
            }
            return Err(error);
        }
        self.bytes = self.bytes.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        self.unsynced |= !lines.is_empty();
        if durable && self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Millis = Millis(1_800_000_000_000);

    fn config(folder: &Path) -> AuditConfig {
        let path = Some(folder.join("audit.jsonl"));
        AuditConfig { path, rotate_mib: 1, keep_days: 10, keep_files: 3, ..AuditConfig::default() }
    }

    fn open(folder: &Path) -> Sink {
        Sink::open(&config(folder), NOW).unwrap().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Fails if the file is made with the permissions of the process, or if a readable one is taken.
    #[test]
    fn only_the_node_may_read_the_file() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        let path = folder.path().join("audit.jsonl");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let why = Sink::open(&config(folder.path()), NOW).err().unwrap();
        assert!(why.contains("chmod 600"), "{why}");
        assert!(Sink::open(&AuditConfig::default(), NOW).unwrap().is_none());
    }

    /// Fails if a full file goes on, if lines are lost at a rotation, or if files beyond the number stay.
    #[test]
    fn a_full_file_is_followed_by_a_new_one_and_only_so_many_old_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = open(folder.path());
        let line = [&vec![b'x'; (1 << 20) - 1][..], b"\n"].concat();
        for _ in 0..6 {
            // All at one time: their names differ all the same.
            sink.write(&line, NOW, true).unwrap();
        }
        assert_eq!(names(folder.path()).len(), 6);
        sink.prune(None).unwrap();
        assert_eq!(
            names(folder.path()),
            [
                "audit.jsonl",
                "audit.jsonl.1800000000002",
                "audit.jsonl.1800000000003",
                "audit.jsonl.1800000000004"
            ]
        );
        for name in names(folder.path()) {
            assert_eq!(fs::metadata(folder.path().join(name)).unwrap().len(), 1 << 20);
        }
    }

    /// Fails if an old file stays for ever, or if one is removed by a clock that is not sure.
    #[test]
    fn old_files_are_removed_by_a_sure_clock_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = open(folder.path());
        sink.write(b"{}\n", NOW, false).unwrap();
        // A quiet file is ended by its age, a tenth of `keep_days`.
        let next_day = Millis(NOW.0 + DAY_MS + 1);
        sink.write(b"{}\n", next_day, false).unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        fs::write(folder.path().join("audit.jsonl.backup"), b"x").unwrap();
        let much_later = Millis(next_day.0 + 10 * DAY_MS + 1);
        sink.prune(None).unwrap();
        sink.prune(Some(next_day)).unwrap();
        assert_eq!(names(folder.path()).len(), 3);
        sink.prune(Some(much_later)).unwrap();
        // The present file had become old too, and is kept from now on.
        let ended = format!("audit.jsonl.{}", much_later.0);
        assert_eq!(names(folder.path()), ["audit.jsonl", &ended, "audit.jsonl.backup"]);
    }

    /// Fails if lines go on into a file that is not the trail any more.
    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = open(folder.path());
        let (path, away) = (folder.path().join("audit.jsonl"), folder.path().join("away"));
        sink.write(b"1\n", NOW, false).unwrap();
        fs::rename(&path, &away).unwrap();
        sink.write(b"2\n", NOW, false).unwrap();
        assert_eq!((fs::read(&away).unwrap(), fs::read(&path).unwrap()), (b"1\n".to_vec(), b"2\n".to_vec()));
    }

    /// Fails if an error is passed over.
    #[test]
    fn a_trail_that_cannot_be_written_says_so_and_goes_on_once_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let mut sink = open(&inner);
        fs::remove_dir_all(&inner).unwrap();
        assert!(sink.write(b"1\n", NOW, true).is_err());
        fs::create_dir(&inner).unwrap();
        sink.write(b"2\n", NOW, true).unwrap();
        assert_eq!(fs::read(inner.join("audit.jsonl")).unwrap(), b"2\n");
    }
}
