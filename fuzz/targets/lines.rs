//! However bytes arrive, the splitter gives out the same lines, and none that is too long.
#![no_main]

use asterguard::input::line_splitter::{LineSplitter, MAX_LINE};
use libfuzzer_sys::fuzz_target;

fn split(data: &[u8], piece: usize) -> Vec<(u64, Vec<u8>)> {
    let mut splitter = LineSplitter::new(piece);
    let mut lines = Vec::new();
    for bytes in data.chunks(piece) {
        splitter.space()[..bytes.len()].copy_from_slice(bytes);
        splitter.filled(bytes.len());
        while let Some(region) = splitter.next_region() {
            lines.extend(region.lines().map(|(number, line)| (number, line.to_vec())));
        }
    }
    if let Some(region) = splitter.finish() {
        lines.extend(region.lines().map(|(number, line)| (number, line.to_vec())));
    }
    lines
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (piece, data) = input;
    let whole = split(&data, data.len().max(1));
    assert!(whole.iter().all(|(_, line)| line.len() < MAX_LINE));
    assert_eq!(whole, split(&data, usize::from(piece) + 1));
});
