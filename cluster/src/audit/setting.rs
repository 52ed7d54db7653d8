//! The settings of the audit trail.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::class::AuditClass;
use crate::access::SettingError;

/// The audit trail. `docs/operations.md` explains what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// The path of the file, which the node makes if it is missing and which only the node may read or write. Without it
    /// there is no trail. The node gives old files of the trail this name with a number behind it, so no other program
    /// may use such names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The size at which the node begins a new file, in MiB: 1 to 4096. It also begins one when the first entry of the
    /// file is older than a tenth of `keep_days`.
    pub rotate_mib: u64,
    /// How long the node keeps a file after its last entry, in days: 1 to 3650. It removes no file for its age while it
    /// is not sure of its clock.
    pub keep_days: u32,
    /// How many old files the node keeps, 1 to 4096. If there is one more, it removes the oldest, whatever its age is.
    pub keep_files: usize,
    /// The classes of entries that the trail has: `decision`, `submission`, `read`, `admin` and `refused`. `admin` and
    /// `refused` cannot be left out.
    pub classes: Vec<AuditClass>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { path: None, rotate_mib: 64, keep_days: 90, keep_files: 64, classes: AuditClass::ALL.to_vec() }
    }
}

impl AuditConfig {
    /// Whether nothing is set.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks everything that can be wrong without looking at the disk.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), SettingError> {
        let wrong =
            |field: &str, problem: String| Err(SettingError { field: format!("audit.{field}"), problem });
        for (field, value, most) in [
            ("rotate_mib", self.rotate_mib, 4096),
            ("keep_days", u64::from(self.keep_days), 3650),
            ("keep_files", u64::try_from(self.keep_files).unwrap_or(u64::MAX), 4096),
        ] {
            if value == 0 || value > most {
                return wrong(field, format!("is {value}, must be from 1 to {most}"));
            }
        }
        for class in AuditClass::ALL {
            let times = self.classes.iter().filter(|listed| **listed == class).count();
            if times > 1 {
                return wrong("classes", format!("has `{}` twice", class.as_str()));
            }
            if times == 0 && !class.may_be_off() {
                let problem = format!("lacks `{}`, which cannot be turned off: add it", class.as_str());
                return wrong("classes", problem);
            }
        }
        if let Some(path) = &self.path
            && (path.as_os_str().is_empty() || path.file_name().is_none())
        {
            return wrong("path", format!("`{}` is no file's path", path.display()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if a bound is left out, or if a class that must be there can be left out.
    #[test]
    fn a_setting_out_of_bounds_and_a_trail_without_admin_or_refused_entries_are_refused() {
        assert_eq!(AuditConfig::default().validate(), Ok(()));
        let few = vec![AuditClass::Refused, AuditClass::Admin];
        assert_eq!(AuditConfig { classes: few, ..Default::default() }.validate(), Ok(()));
        let wrong = |config: AuditConfig| config.validate().unwrap_err().field;
        assert_eq!(wrong(AuditConfig { rotate_mib: 0, ..Default::default() }), "audit.rotate_mib");
        assert_eq!(wrong(AuditConfig { rotate_mib: 4097, ..Default::default() }), "audit.rotate_mib");
        assert_eq!(wrong(AuditConfig { keep_days: 0, ..Default::default() }), "audit.keep_days");
        assert_eq!(wrong(AuditConfig { keep_files: 4097, ..Default::default() }), "audit.keep_files");
        for missing in [AuditClass::Admin, AuditClass::Refused] {
            let classes = AuditClass::ALL.into_iter().filter(|class| *class != missing).collect();
            assert_eq!(wrong(AuditConfig { classes, ..Default::default() }), "audit.classes");
        }
        let twice = [&AuditClass::ALL[..], &[AuditClass::Read]].concat();
        assert_eq!(wrong(AuditConfig { classes: twice, ..Default::default() }), "audit.classes");
        assert_eq!(wrong(AuditConfig { path: Some("/".into()), ..Default::default() }), "audit.path");
    }
}
