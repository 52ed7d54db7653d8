//! `verify`: check an envelope or a decision offline. It trusts only the keys that the caller names, and asks no node.

use std::path::{Path, PathBuf};

use assent_proof::text::one_line;
use assent_proof::{
    Claims, Envelope, Json, Millis, PublicKey, Refusal, Rules, RulesVersion, STATEMENT_PAYLOAD_TYPE,
    Statement, VerifiedEnvelope, json, verify, verify_decision,
};
use clap::Args as ClapArgs;

use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::{edge, files, keys};

/// Verify an envelope or a decision offline. Exit codes: 0 it is what the trusted keys signed, 1 it is not.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent verify decision.json --trust node-keys.pem
  assent verify envelope.json --trust governance.pub.pem \\
    --trust verifier.pub.pem

A deny that verifies is verified: read what is printed. An allow of `assent permit` has a
`permit`, the receipt of what was recorded; one without it was recorded nowhere. Whether a key
may sign such evidence, and whether it has been revoked since, only the registry knows.")]
pub(crate) struct Args {
    /// A decision or an envelope; `-` is stdin
    file: PathBuf,
    /// The trusted public keys: a PEM file with one or several of them, or a folder of such files (repeatable). A
    /// decision needs the nodes' keys, and an envelope the issuers' keys
    #[arg(long, env = "ASSENT_NODE_KEYS", value_name = "PEM", required = true)]
    trust: Vec<PathBuf>,
    /// Refuse an envelope that was made for another registry
    #[arg(long)]
    origin: Option<String>,
    /// Verify an envelope under this version of the rules: the one that its registry followed when it accepted the
    /// envelope, which is one more than the number of `rules` leaves before it. By default, every version that this
    /// build knows is tried, the newest first, and the one that fits is printed
    #[arg(long, value_name = "VERSION")]
    rules: Option<u32>,
}

impl Args {
    /// Verifies under the version that the caller names, or otherwise under the newest one by which the envelope
    /// verifies.
    fn verify(&self, bytes: &[u8], origin: &str) -> Result<VerifiedEnvelope, CliError> {
        if let Some(version) = self.rules {
            let rules = Rules::of(RulesVersion(version)).ok_or_else(|| {
                let newest = RulesVersion::NEWEST;
                let detail =
                    format!("this build knows the rules up to version {newest}, not version {version}");
                CliError::new("rules_unknown", detail, "verify with a newer build that knows this version")
            })?;
            return Ok(verified(bytes, origin, rules)?);
        }
        let newest = verified(bytes, origin, Rules::NEWEST);
        let earlier = || Rules::NEWEST.earlier().rev().find_map(|rules| verified(bytes, origin, rules).ok());
        Ok(newest.or_else(|refusal| earlier().ok_or(refusal))?)
    }
}

/// Verifies an envelope's signatures and reads its claims, under these rules.
fn verified(bytes: &[u8], origin: &str, rules: Rules) -> Result<VerifiedEnvelope, Refusal> {
    let envelope = verify(bytes, origin, rules)?;
    let statement = envelope.statement();
    Claims::parse(rules, statement.kind, &statement.claims)?;
    Ok(envelope)
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let trusted = keys::read_trusted(&args.trust)?;
    let bytes = files::read(&args.file)?;
    check(&args, &bytes, trusted.as_slice(), output).map_err(|error| error.in_file(&args.file))
}

fn check(args: &Args, bytes: &[u8], trusted: &[PublicKey], output: Output) -> Result<Exit, CliError> {
    let value = json::parse(bytes).map_err(assent_proof::Refusal::from)?;
    if value.get("decision").is_some() {
        if args.origin.is_some() || args.rules.is_some() {
            let detail = "`--origin` and `--rules` are for envelopes, and this is a decision: what `verify` prints of a decision names its history";
            return Err(CliError::usage(detail));
        }
        return decision(bytes, trusted, output);
    }
    if value.get("payload").is_some() {
        return envelope(args, bytes, trusted, output);
    }
    let detail = "neither a decision nor an envelope";
    Err(CliError::new("malformed", detail, "give the exact body of an authorize answer, or a DSSE envelope"))
}

fn decision(bytes: &[u8], trusted: &[PublicKey], output: Output) -> Result<Exit, CliError> {
    let verified = verify_decision(bytes, trusted)?;
    let until = verified.decision.get("validUntil").and_then(Json::as_i64).map(Millis);
    let over = until.is_none_or(|until| until <= edge::now());
    let verdict = if verified.allow { "allow" } else { "deny" };
    let value = serde_json::json!({
        "verified": "decision", "decision": verdict, "signer": verified.signer, "validUntil": until, "over": over,
        "request": verified.decision.get("request"), "history": verified.decision.get("history"),
        "revision": verified.decision.get("revision"), "permit": verified.decision.get("permit"),
    });
    output.result(&value, || {
        let mut text = format!("verified: decision `{verdict}`, signed by {}", verified.signer);
        for field in ["history", "revision", "request", "permit"] {
            if let Some(value) = verified.decision.get(field) {
                text.push_str(&format!("\n  {field}: {}", value.to_text()));
            }
        }
        for reason in verified.decision.get("reasons").and_then(Json::as_array).unwrap_or_default() {
            let part = |name: &str| reason.get(name).and_then(Json::as_str).unwrap_or_default();
            text.push_str(&format!("\n  {}: {}", one_line(part("code")), one_line(part("detail"))));
        }
        if let Some(more) = verified.decision.get("moreReasons").and_then(Json::as_i64) {
            text.push_str(&format!("\n  and {more} more"));
        }
        for what in unchecked(&verified.decision) {
            text.push_str(&format!("\n  not checked: {}", one_line(what)));
        }
        match until.filter(|_| verified.allow) {
            Some(until) if over => text.push_str(&format!(
                "\nit was valid until {}, which is over by this clock",
                until.to_seconds()
            )),
            Some(until) => {
                text.push_str(&format!("\nby this clock it is valid until {}", until.to_seconds()))
            }
            None => {}
        }
        text
    })?;
    Ok(Exit::Ok)
}

/// What the policy of a decision does not check, in the words of the decision.
fn unchecked(decision: &Json) -> impl Iterator<Item = &str> {
    let words = decision.get("policy").and_then(|policy| policy.get("unchecked")).and_then(Json::as_array);
    words.unwrap_or_default().iter().filter_map(Json::as_str)
}

fn envelope(args: &Args, bytes: &[u8], trusted: &[PublicKey], output: Output) -> Result<Exit, CliError> {
    let origin = match &args.origin {
        Some(origin) => origin.clone(),
        None => origin_of(bytes, &args.file)?,
    };
    let verified = args.verify(bytes, &origin)?;
    let statement = verified.statement();
    if let Some(stranger) = statement.issuers.iter().find(|issuer| !trusted.contains(issuer)) {
        let detail = format!("issuer `{stranger}` is not among the trusted keys");
        return Err(CliError::new(
            "issuer_untrusted",
            detail,
            "give the keys of all issuers that you trust with `--trust`",
        ));
    }
    let value = serde_json::json!({
        "verified": "envelope", "evidenceId": verified.id(), "kind": statement.kind, "issuers": statement.issuers,
        "registry": statement.registry, "domain": statement.domain, "lineage": statement.lineage,
        "rules": verified.rules().version().0, "registryChecked": args.origin.is_some(),
    });
    output.result(&value, || {
        let issuers: Vec<String> = statement.issuers.iter().map(ToString::to_string).collect();
        format!(
            "verified: {} {}\nin {}/{} of {}{}\nunder rules {}\nsigned by {}",
            statement.kind,
            verified.id(),
            statement.domain,
            statement.lineage,
            statement.registry,
            if args.origin.is_some() { "" } else { " (not checked: give yours with `--origin`)" },
            verified.rules().version(),
            issuers.join("\n          ")
        )
    })?;
    Ok(Exit::Ok)
}

/// The registry that the envelope names.
fn origin_of(bytes: &[u8], file: &Path) -> Result<String, CliError> {
    let envelope = Envelope::parse(bytes)?;
    if envelope.payload_type != STATEMENT_PAYLOAD_TYPE {
        let detail = format!("`{}` carries no in-toto statement", file.display());
        return Err(CliError::new("malformed", detail, "give a statement's envelope, or a decision"));
    }
    Ok(Statement::parse(&envelope.payload)?.registry)
}
