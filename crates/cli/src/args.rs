//! Arguments that several commands share.

use std::path::PathBuf;

use assent_api::parse_node_id;
use assent_client::Trust;
use assent_proof::{DomainName, Sha256};
use clap::Args;

use crate::exit::{CliError, Exit};
use crate::{files, keys};

/// The registry that evidence is made for.
#[derive(Clone, Debug, Args)]
pub(crate) struct OriginArg {
    /// The registry's origin, which is part of the signed statement
    #[arg(long, env = "ASSENT_ORIGIN")]
    origin: Option<String>,
}

impl OriginArg {
    /// The origin, if it is known.
    pub(crate) fn given(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The origin. It must be known, since it is signed.
    pub(crate) fn required(&self) -> Result<String, CliError> {
        self.origin.clone().ok_or_else(|| missing("--origin", "ASSENT_ORIGIN"))
    }
}

/// The domain that a command concerns.
#[derive(Clone, Debug, Args)]
pub(crate) struct DomainArg {
    /// The domain
    #[arg(long, env = "ASSENT_DOMAIN")]
    domain: Option<DomainName>,
}

impl DomainArg {
    /// The domain. It must be known.
    pub(crate) fn required(&self) -> Result<DomainName, CliError> {
        self.domain.clone().ok_or_else(|| missing("--domain", "ASSENT_DOMAIN"))
    }
}

/// The node id of the member that a command concerns: `ID`, or `--id ID`.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct MemberIdArg {
    /// The node id of the member
    #[arg(value_name = "ID", value_parser = parse_node_id)]
    id: Option<u64>,
    /// The same as `ID`, as an option
    #[arg(long = "id", value_name = "ID", value_parser = parse_node_id)]
    named: Option<u64>,
}

impl MemberIdArg {
    /// The id. Clap has checked that there is one.
    pub(crate) fn required(self) -> Result<u64, CliError> {
        self.id.or(self.named).ok_or_else(|| CliError::usage("no node id is given"))
    }
}

/// The keys whose allows are believed.
#[derive(Clone, Debug, Args)]
pub(crate) struct TrustArgs {
    /// The nodes' public keys: a PEM file, or a folder of `.pem` files whose subfolders are not read (repeatable). An
    /// allow is believed only if one of these keys signed it
    #[arg(long, env = "ASSENT_NODE_KEYS", value_name = "PEM")]
    trust: Vec<PathBuf>,
    /// Believe every allow, even an unsigned one: anything that can answer in place of a node can then allow
    #[arg(long)]
    unverified: bool,
}

impl TrustArgs {
    /// The trust that the caller names. The caller must name one.
    pub(crate) fn required(&self) -> Result<Trust, CliError> {
        let wrong = |detail: &str, remedy: &str| {
            Err(CliError { exit: Exit::Usage, ..CliError::new("usage", detail, remedy) })
        };
        match (self.trust.is_empty(), self.unverified) {
            (false, false) => Ok(Trust::Keys(keys::read_trusted_nodes(&self.trust)?)),
            (true, true) => Ok(Trust::Unverified),
            (true, false) => wrong(
                "no node's key is trusted, so no allow can be believed",
                "give `--trust PEM` or set `ASSENT_NODE_KEYS` (`assent dev` prints the line); `--unverified` believes \
                 every answer",
            ),
            (false, true) => wrong(
                "both `--unverified` and trusted keys are given",
                "leave out `--unverified`, or both `--trust` and `ASSENT_NODE_KEYS`",
            ),
        }
    }
}

/// The subject of evidence or of a request.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub(crate) struct SubjectArg {
    /// The subject's digest
    #[arg(long, value_name = "sha256:HEX", value_parser = digest)]
    subject: Option<Sha256>,
    /// The subject itself: a file, whose SHA-256 is the digest
    #[arg(long, value_name = "FILE")]
    subject_file: Option<PathBuf>,
}

impl SubjectArg {
    /// The digest, if the caller named a subject.
    pub(crate) fn digest(&self) -> Result<Option<Sha256>, CliError> {
        match (&self.subject, &self.subject_file) {
            (Some(subject), _) => Ok(Some(*subject)),
            (None, Some(file)) => files::digest(file).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The digest. The caller must name a subject.
    pub(crate) fn required(&self) -> Result<Sha256, CliError> {
        self.digest()?.ok_or_else(|| CliError::usage("give `--subject sha256:HEX` or `--subject-file FILE`"))
    }

    /// The name of the subject's file, for people.
    pub(crate) fn name(&self) -> Option<String> {
        let file = self.subject_file.as_ref()?;
        Some(file.file_name()?.to_string_lossy().into_owned())
    }
}

fn digest(text: &str) -> Result<Sha256, String> {
    let hex = text.strip_prefix("sha256:").ok_or("must begin with `sha256:`")?;
    hex.parse().map_err(|_| "must be `sha256:` and 64 lower-case hex digits".to_owned())
}

fn missing(option: &str, variable: &str) -> CliError {
    let detail = format!("`{option}` is not given");
    CliError {
        exit: Exit::Usage,
        ..CliError::new("usage", detail, format!("give `{option}` or set `{variable}`"))
    }
}
