//! The configuration files of a cluster's nodes.

use std::fs;
use std::path::PathBuf;

use crate::cluster::Cluster;
use crate::error::HarnessError;

impl Cluster {
    /// The node's configuration file.
    pub fn config_path(&self, id: u64) -> PathBuf {
        self.dev_directory().join(format!("node-{id}.toml"))
    }

    /// Changes numbers in a node's configuration, by field name. They take effect at its next start.
    pub fn configure(&self, id: u64, fields: &[(&str, u64)]) -> Result<(), HarnessError> {
        let fields: Vec<(&str, String)> =
            fields.iter().map(|(field, value)| (*field, value.to_string())).collect();
        self.write_config(id, id, &fields)
    }

    /// Writes a node's configuration: a copy of the configuration of the node `like`, with these values, in TOML, in
    /// these fields.
    pub(crate) fn write_config(
        &self,
        id: u64,
        like: u64,
        fields: &[(&str, String)],
    ) -> Result<(), HarnessError> {
        let text = fs::read_to_string(self.config_path(like))
            .map_err(HarnessError::io("reading a configuration"))?;
        let mut missing: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
        let lines = text.lines().map(|line| {
            let name = line.split('=').next().unwrap_or_default().trim();
            match fields.iter().find(|(field, _)| *field == name) {
                None => line.to_owned(),
                Some((field, value)) => {
                    missing.retain(|missing| missing != field);
                    format!("{field} = {value}")
                }
            }
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        if !missing.is_empty() {
            return Err(HarnessError::Unexpected(format!("the configuration has no {missing:?}")));
        }
        fs::write(self.config_path(id), text).map_err(HarnessError::io("writing a configuration"))
    }
}
