//! A format for files that are mostly zeros: it has only the blocks that are not.
//!
//! The format is `MAGIC`, the file's length (8 bytes), and for each run of blocks with a byte other than zero its
//! offset (8 bytes), its length (4 bytes) and its bytes. Integers are big endian.

const MAGIC: &[u8] = b"assent sparse file 1\n";
const BLOCK: usize = 512;
/// A file is never larger than this: what is read may be damaged.
const LENGTH_MAX: u64 = 64 << 20;

/// The sparse file of these bytes.
pub(crate) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = MAGIC.to_vec();
    packed.extend((bytes.len() as u64).to_be_bytes());
    let mut run: Option<(usize, Vec<u8>)> = None;
    let mut put = |run: Option<(usize, Vec<u8>)>| {
        if let Some((offset, bytes)) = run {
            packed.extend((offset as u64).to_be_bytes());
            packed.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
            packed.extend(bytes);
        }
    };
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().all(|byte| *byte == 0) {
            put(run.take());
        } else {
            run.get_or_insert_with(|| (number * BLOCK, Vec::new())).1.extend(block);
        }
    }
    put(run);
    packed
}

/// The bytes of a sparse file, or what is wrong with it.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut rest = packed.strip_prefix(MAGIC).ok_or("it is no sparse file")?;
    let length = u64::from_be_bytes(take(&mut rest)?);
    if length > LENGTH_MAX {
        return Err(format!("a file of {length} bytes"));
    }
    let mut bytes = vec![0; length as usize];
    while !rest.is_empty() {
        let offset = u64::from_be_bytes(take(&mut rest)?);
        let run = u64::from(u32::from_be_bytes(take(&mut rest)?));
        let end =
            offset.checked_add(run).filter(|end| *end <= length).ok_or("a run beyond the file's end")?;
        let (run, after) = rest.split_at_checked(run as usize).ok_or("it is cut short")?;
        bytes[offset as usize..end as usize].copy_from_slice(run);
        rest = after;
    }
    Ok(bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], &'static str> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or("it is cut short")?;
    *rest = tail;
    Ok(*head)
}

#[test]
fn what_was_packed_is_unpacked_and_zeros_take_no_room() {
    let mut sparse = vec![0; 1 << 20];
    sparse[5] = 1;
    sparse[1500..2100].fill(2);
    *sparse.last_mut().unwrap() = 3;
    for bytes in [Vec::new(), vec![0], vec![7; 1000], vec![0; 4096], sparse] {
        assert_eq!(unpack(&pack(&bytes)).as_ref(), Ok(&bytes));
    }
    assert!(pack(&vec![0; 1 << 20]).len() < 64);
    let packed = pack(&[7; 1000]);
    for length in [0, MAGIC.len(), MAGIC.len() + 8 + 3, packed.len() - 1] {
        assert!(unpack(&packed[..length]).is_err(), "{length}");
    }
    let mut beyond = packed.clone();
    beyond[MAGIC.len() + 7] = 0;
    assert!(unpack(&beyond).is_err());
}
