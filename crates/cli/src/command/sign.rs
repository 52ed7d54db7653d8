//! `sign`: add signatures to an envelope, with key files or with a key that never leaves its HSM.

use std::path::{Path, PathBuf};

use assent_proof::{Envelope, decode_base64, encode_base64};
use clap::Args as ClapArgs;

use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::{files, keys};

/// Add signatures to an envelope.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent sign envelope.json --key second.pem --in-place

  With a key elsewhere (HSM, Vault, openssl):
  assent sign envelope.json --external --pae-out pae.bin
  openssl pkeyutl -sign -rawin -inkey elsewhere.pem -in pae.bin -out sig.bin
  assent sign envelope.json --external --public elsewhere.pub.pem \\
    --signature sig.bin --in-place")]
pub(crate) struct Args {
    /// The envelope to sign; `-` is stdin
    file: PathBuf,
    /// A private key to sign with (repeatable)
    #[arg(
        long = "key",
        value_name = "PEM",
        required_unless_present = "external",
        conflicts_with = "external"
    )]
    keys: Vec<PathBuf>,
    /// Write the signed envelope back to the file instead of stdout; the file keeps its mode, and a symbolic link
    /// stays one
    #[arg(long)]
    in_place: bool,
    /// Sign elsewhere: print the bytes to sign, or attach a signature that was made over them
    #[arg(long)]
    external: bool,
    /// With --external: write the raw bytes to sign to this file (`-` is stdout); by default they go to stdout in
    /// base64
    #[arg(long, value_name = "FILE", requires = "external", conflicts_with_all = ["signature", "in_place"])]
    pae_out: Option<PathBuf>,
    /// With --external: the public key that belongs to the signature
    #[arg(long, value_name = "PEM", requires = "external", requires = "signature")]
    public: Option<PathBuf>,
    /// With --external: the signature made elsewhere, as a file (raw or base64) or as base64 text
    #[arg(long, value_name = "FILE|BASE64", requires = "external", requires = "public")]
    signature: Option<String>,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    if args.in_place && files::is_stdio(&args.file) {
        return Err(CliError::usage("stdin cannot be written in place"));
    }
    if args.in_place && args.file.exists() && !args.file.is_file() {
        return Err(CliError::usage("only a file can be written in place"));
    }
    let mut envelope = Envelope::parse(&files::read(&args.file)?)
        .map_err(|refusal| CliError::from(refusal).in_file(&args.file))?;
    match (&args.public, &args.signature) {
        (Some(public), Some(signature)) => {
            envelope.attach(&keys::read_public(public)?, read_signature(signature)?)?
        }
        _ if args.external => return pae(&args, &envelope, output),
        _ => {
            for key in &keys::read_all_signing(&args.keys)? {
                envelope.sign_with(key);
            }
        }
    }
    let mut bytes = envelope.to_vec();
    bytes.push(b'\n');
    if args.in_place {
        files::replace(&args.file, &bytes)?
    } else {
        output.product_bytes(&bytes)?
    }
    Ok(Exit::Ok)
}

/// Writes out the bytes to sign.
fn pae(args: &Args, envelope: &Envelope, output: Output) -> Result<Exit, CliError> {
    if args.in_place {
        return Err(CliError::usage("`--in-place` needs `--signature`: there is nothing to write yet"));
    }
    let pae = envelope.pae();
    match &args.pae_out {
        Some(file) => files::hand_out(file, &[&args.file], &pae, output)?,
        None => {
            let text = encode_base64(&pae);
            let value = serde_json::json!({ "evidenceId": envelope.id(), "pae": text });
            output.product(&value, || text.clone())?;
        }
    }
    Ok(Exit::Ok)
}

/// Reads a signature: raw or base64 from a file, or as base64 text.
fn read_signature(text: &str) -> Result<[u8; 64], CliError> {
    let path = Path::new(text);
    let bytes = if path.is_file() { files::read(path)? } else { text.as_bytes().to_vec() };
    if let Ok(raw) = <[u8; 64]>::try_from(bytes.as_slice()) {
        return Ok(raw);
    }
    // Tools that write base64 into a file break it into lines.
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let decoded = decode_base64(&text.split_ascii_whitespace().collect::<String>());
    decoded.and_then(|raw| <[u8; 64]>::try_from(raw.as_slice()).ok()).ok_or_else(|| {
        let detail = "neither the 64 raw bytes of an Ed25519 signature nor their base64";
        CliError::new("signature_invalid", detail, "give the file that the signer wrote, or its base64")
    })
}
