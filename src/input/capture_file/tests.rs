use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// Returns the packets of a file, and the reason why there are no more.
fn read(bytes: &[u8]) -> (Vec<CapturedPacket>, Option<String>) {
    let mut file = CaptureFile::new(Cursor::new(bytes));
    let mut packets = Vec::new();
    loop {
        match file.next_packet() {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error.to_string())),
        }
    }
}

/// Numbers in the byte order of a file.
#[derive(Clone, Copy, Debug)]
struct Order(bool);

impl Order {
    fn n4(self, number: u32) -> [u8; 4] {
        if self.0 { number.to_be_bytes() } else { number.to_le_bytes() }
    }
    fn n2(self, number: u16) -> [u8; 2] {
        if self.0 { number.to_be_bytes() } else { number.to_le_bytes() }
    }
    fn all(self, numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| self.n4(*number)).collect()
    }
}

fn pcap(order: Order, magic: u32, records: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = order.n4(magic).to_vec();
    bytes.extend([order.n2(2), order.n2(4)].concat());
    bytes.extend(order.all(&[0, 0, 262_144, 1]));
    for (seconds, fraction, packet) in records {
        let length = u32::try_from(packet.len()).unwrap();
        bytes.extend(order.all(&[*seconds, *fraction, length, length + 5]));
        bytes.extend(*packet);
    }
    bytes
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = [body, &vec![0; body.len().next_multiple_of(4) - body.len()]].concat();
    let length = u32::try_from(padded.len() + 12).unwrap();
    [&order.all(&[kind, length])[..], &padded, &order.n4(length)].concat()
}

fn section(order: Order) -> Vec<u8> {
    let body = [&order.n4(0x1a2b_3c4d)[..], &order.n2(1), &order.n2(0), &[0xff; 8]].concat();
    block(order, SECTION, &body)
}

fn interface(order: Order, link_type: u16, options: &[u8]) -> Vec<u8> {
    let head = [order.n2(link_type), order.n2(0)].concat();
    block(order, INTERFACE, &[&head[..], &order.n4(0), options].concat())
}

fn enhanced(order: Order, interface: u32, units: u64, packet: &[u8]) -> Vec<u8> {
    let length = u32::try_from(packet.len()).unwrap();
    let (high, low) = ((units >> 32) as u32, (units & 0xffff_ffff) as u32);
    let head = order.all(&[interface, high, low, length, length + 5]);
    block(order, ENHANCED_PACKET, &[&head[..], packet].concat())
}

/// Everything that pcapng has, in 10 blocks.
fn pcapng(order: Order) -> Vec<u8> {
    let nanoseconds = [&order.n2(9)[..], &order.n2(1), &[9, 0, 0, 0]].concat();
    [
        section(order),
        interface(order, 1, &[]),
        interface(order, 276, &nanoseconds),
        // Names, and one that nobody knows.
        block(order, 4, &[0; 8]),
        enhanced(order, 0, 1_795_905_381_939_000, b"one"),
        block(order, 0x0bad_0bad, &[7; 99]),
        enhanced(order, 1, 1_795_905_382_001_000_000, b"three and"),
        block(order, SIMPLE_PACKET, &[&order.n4(4)[..], b"four"].concat()),
        enhanced(order, 7, 0, b"of none"),
        section(order),
    ]
    .concat()
}

#[test]
fn pcap_of_both_orders_and_resolutions_is_read() {
    for big_endian in [false, true] {
        let order = Order(big_endian);
        for (magic, per_milli) in [(0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1_000_000)] {
            let records: [(u32, u32, &[u8]); 2] =
                [(1_795_905_381, 939 * per_milli, b"one"), (1_795_905_382, 0, b"")];
            let (packets, error) = read(&pcap(order, magic, &records));
            assert_eq!(error, None);
            assert_eq!(
                packets[0],
                CapturedPacket {
                    number: 1,
                    time: Some(Time::from_millis(1_795_905_381_939)),
                    link_type: Some(1),
                    bytes: b"one".to_vec(),
                    length: 8,
                }
            );
            assert_eq!((packets.len(), packets[1].number), (2, 2));
        }
    }
}

#[test]
fn pcapng_of_both_orders_is_read() {
    for big_endian in [false, true] {
        let (packets, error) = read(&pcapng(Order(big_endian)));
        assert_eq!(error, None);
        let read: Vec<_> = packets
            .iter()
            .map(|packet| {
                let millis = packet.time.map(Time::millis);
                (packet.number, millis, packet.link_type, packet.bytes.as_slice(), packet.length)
            })
            .collect();
        assert_eq!(
            read,
            [
                (1, Some(1_795_905_381_939), Some(1), &b"one"[..], 8),
                (2, Some(1_795_905_382_001), Some(276), b"three and", 14),
                (3, None, Some(1), b"four", 4),
                (4, None, None, b"of none", 12),
            ]
        );
    }
    // Sections of both orders in one file, the interfaces of each its own.
    let two = [pcapng(Order(false)), pcapng(Order(true))].concat();
    assert_eq!((read(&two).0.len(), read(&two).1), (8, None));
}

#[test]
fn units_of_time_are_those_of_the_interface() {
    let time = |resolution, offset, units| {
        let interface = Interface { link_type: 1, snaplen: 0, resolution, offset };
        interface.time(units).map(Time::millis)
    };
    assert_eq!(time(6, 0, 1_500_000), Some(1500));
    assert_eq!(time(3, -2, 9000), Some(7000));
    assert_eq!(time(0x8a, 0, 1536), Some(1500));
    assert_eq!(time(0x7f, 0, u64::MAX), None);
    assert_eq!(time(0xff, 0, u64::MAX), Some(0));
    assert_eq!(time(0, i64::MAX, u64::MAX), None);
}

#[test]
fn what_is_whole_is_read_and_the_place_of_the_damage_said() {
    let order = Order(false);
    let good = pcap(order, 0xa1b2_c3d4, &[(1, 0, b"one"), (2, 0, b"two")]);
    for end in 0..good.len() {
        let (packets, error) = read(&good[..end]);
        let expected = match end {
            0 => (0, Some("it is neither pcap nor pcapng")),
            1..24 => (0, Some("it ends in the middle of what begins at byte 0")),
            24 => (0, None),
            25..43 => (0, Some("it ends in the middle of what begins at byte 24")),
            43 => (1, None),
            _ => (1, Some("it ends in the middle of what begins at byte 43")),
        };
        assert_eq!((packets.len(), error.as_deref()), expected, "{end}");
    }
    let mut damaged = good.clone();
    damaged[43 + 8..43 + 12].copy_from_slice(&[0xff; 4]);
    assert_eq!(read(&damaged).1.unwrap(), "it is damaged at byte 43");
    let late = pcap(order, 0xa1b2_c3d4, &[(1, 0, b"one"), (2, 1_000_000, b"two")]);
    assert_eq!(
        (read(&late).0.len(), read(&late).1.unwrap()),
        (1, "it is damaged at byte 43".into())
    );
    assert_eq!(
        read(b"[Nov 22 00:52:46] NOTICE[1] a.c: b").1.unwrap(),
        "it is neither pcap nor pcapng"
    );

    let whole = pcapng(order);
    let begin = section(order).len() + interface(order, 1, &[]).len();
    for (place, byte) in [(0, 9), (4, 7), (4, 0xfd)] {
        let mut damaged = whole.clone();
        damaged[begin + place] = byte;
        let (packets, error) = read(&damaged);
        if place == 0 {
            // A block that nobody knows is passed over, and its interface missed.
            assert_eq!((packets.len(), error), (4, None));
            assert_eq!(packets[1].link_type, None);
        } else {
            assert_eq!(
                (packets.len(), error.unwrap()),
                (0, format!("it is damaged at byte {begin}"))
            );
        }
    }
    let (packets, error) = read(&whole[..whole.len() - section(order).len() - 1]);
    assert!(packets.len() == 3 && error.unwrap().starts_with("it ends in the middle of"));
}

#[test]
fn a_block_of_any_length_that_does_not_matter_is_passed_over() {
    let order = Order(false);
    let long = block(order, 0x0bad_0bad, &vec![1; 3 << 20]);
    let bytes =
        [section(order), interface(order, 1, &[]), long, enhanced(order, 0, 5000, b"one")].concat();
    let mut file = CaptureFile::new(Cursor::new(bytes));
    assert_eq!(file.next_packet().unwrap().unwrap().bytes, b"one");
    assert!(file.buffer.capacity() < 4 * PIECE, "{}", file.buffer.capacity());
    assert!(file.next_packet().unwrap().is_none());
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(
        order in any::<bool>().prop_map(Order),
        kind in 0..3,
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        changes in proptest::collection::vec((0usize..400, any::<u8>()), 0..6),
    ) {
        let mut bytes = match kind {
            0 => pcap(order, 0xa1b2_c3d4, &[(1, 0, b"one"), (2, 0, &garbage)]),
            1 => [pcapng(order), garbage].concat(),
            _ => [&b"\x34\xcd\xb2\xa1"[..], &garbage].concat(),
        };
        for (place, byte) in changes {
            if let Some(there) = bytes.get_mut(place) {
                *there = byte;
            }
        }
        let mut file = CaptureFile::new(Cursor::new(&bytes));
        while let Ok(Some(packet)) = file.next_packet() {
            prop_assert!(packet.bytes.len() <= bytes.len());
        }
        prop_assert!(file.buffer.capacity() <= 2 * (MOST_BLOCK + PIECE));
        prop_assert!(file.packets() <= bytes.len() as u64);
    }
}
