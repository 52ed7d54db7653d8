//! What is wrong with the files of a table of TLS, `peer_tls` or `client_tls`, as they were read last.
//!
//! Each file counts for itself, so that a bad one does not hide what is wrong with another. A problem is logged when it is
//! new, and the metrics show it for as long as it is there. This module reads no file.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Mutex;

use crate::locked::lock;

/// How many problems of one file are told. A file with thousands of lists can have as many problems.
const TOLD_MAX: usize = 4;

/// A file of a table, by its setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsFile {
    /// `cert`, and `key` which belongs to it.
    Cert,
    /// `ca`
    Ca,
    /// `crl`
    Crl,
}

impl TlsFile {
    /// Every file.
    pub(crate) const ALL: [TlsFile; 3] = [TlsFile::Cert, TlsFile::Ca, TlsFile::Crl];

    /// The setting that names the file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            TlsFile::Cert => "cert",
            TlsFile::Ca => "ca",
            TlsFile::Crl => "crl",
        }
    }
}

/// What one reading of the files of a table has found wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems(BTreeMap<TlsFile, Vec<String>>);

impl Problems {
    /// Adds a problem of a file.
    pub(crate) fn add(&mut self, file: TlsFile, problem: &impl Display) {
        let (told, problem) = (self.0.entry(file).or_default(), problem.to_string());
        if told.contains(&problem) {
            return;
        }
        if told.len() < TOLD_MAX {
            told.push(problem);
        } else if told.len() == TOLD_MAX {
            told.push("and more".to_owned());
        }
    }

    /// Adds each of these problems of a file.
    pub(crate) fn extend<P: Display>(&mut self, file: TlsFile, problems: &[P]) {
        for problem in problems {
            self.add(file, problem);
        }
    }
}

/// What is wrong with the files of one table now.
pub(crate) struct TableProblems {
    table: &'static str,
    now: Mutex<Problems>,
}

impl TableProblems {
    /// Nothing is wrong with the files of this table.
    pub(crate) fn new(table: &'static str) -> Self {
        Self { table, now: Mutex::default() }
    }

    /// Takes what a reading has found in place of what the last one has, and logs what is new.
    pub(crate) fn note(&self, found: Problems) {
        let (table, mut now) = (self.table, lock(&self.now));
        for file in TlsFile::ALL {
            let setting = file.word();
            match (now.0.get(&file), found.0.get(&file)) {
                (before, Some(told)) if before != Some(told) => {
                    let problem = told.join("; ");
                    tracing::warn!(%table, %setting, %problem, "a file of TLS cannot be used as it is; what it withdraws is in force, and for the rest the node goes on with what it had");
                }
                (Some(_), None) => tracing::info!(%table, %setting, "a file of TLS can be used again"),
                (_, Some(_)) | (None, None) => {}
            }
        }
        *now = found;
    }

    /// Whether something is wrong with this file.
    pub(crate) fn has(&self, file: TlsFile) -> bool {
        lock(&self.now).0.contains_key(&file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_of_a_table_has_its_own_problems_until_a_reading_finds_none() {
        let table = TableProblems::new("peer_tls");
        let has = || TlsFile::ALL.map(|file| table.has(file));
        assert_eq!(has(), [false; 3]);
        let mut found = Problems::default();
        found.extend(TlsFile::Crl, &["1", "1", "2", "3", "4", "5", "6"]);
        assert_eq!(found.0[&TlsFile::Crl], ["1", "2", "3", "4", "and more"]);
        found.add(TlsFile::Cert, &"b");
        table.note(found);
        assert_eq!(has(), [true, false, true]);
        let mut found = Problems::default();
        found.add(TlsFile::Ca, &"c");
        table.note(found);
        assert_eq!(has(), [false, true, false]);
    }
}
