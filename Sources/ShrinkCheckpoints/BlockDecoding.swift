/// Writes `count` whole blocks of a floating-point `type` as float32.
///
/// The layouts and formulas are those of ggml (`ggml-common.h`, section "Data Structures"): all
/// arithmetic in float32, a multiplication and then an addition, never fused, so that the bits equal
/// those of the reference readers.
func decodeBlocks(
    _ type: TensorType, _ count: Int, from source: UnsafeRawPointer, to output: UnsafeMutablePointer<Float>
) {
    switch type {
    case .f32: UnsafeMutableRawPointer(output).copyMemory(from: source, byteCount: 4 * count)
    case .f16: for i in 0..<count { output[i] = half(source + 2 * i) }
    case .bf16: for i in 0..<count { output[i] = Float(bitPattern: UInt32(bits16(source + 2 * i)) << 16) }
    case .f64: for i in 0..<count { output[i] = Float(Double(bitPattern: bits64(source + 8 * i))) }
    case .q8_0: eachBlock(type, count, source, output, decodeQ8_0)
    case .q4_0: eachBlock(type, count, source, output, decodeQ4_0)
    case .q4_1: eachBlock(type, count, source, output, decodeQ4_1)
    case .q5_0: eachBlock(type, count, source, output, decodeQ5_0)
    case .q5_1: eachBlock(type, count, source, output, decodeQ5_1)
    case .q4_K: eachBlock(type, count, source, output, decodeQ4_K)
    case .q5_K: eachBlock(type, count, source, output, decodeQ5_K)
    case .q6_K: eachBlock(type, count, source, output, decodeQ6_K)
    case .i8, .i16, .i32, .i64, .u8, .u16, .u32, .u64, .bool:
        preconditionFailure("integer tensors have no float blocks")
    }
}

private typealias BlockDecoder = (UnsafeRawPointer, UnsafeMutablePointer<Float>) -> Void

@inline(__always)
private func eachBlock(
    _ type: TensorType, _ count: Int, _ source: UnsafeRawPointer, _ output: UnsafeMutablePointer<Float>,
    _ decode: BlockDecoder
) {
    let stride = type.bytesPerBlock, elements = type.blockSize
    for block in 0..<count { decode(source + block * stride, output + block * elements) }
}

// MARK: Numbers at any address

@inline(__always)
private func bits16(_ p: UnsafeRawPointer) -> UInt16 { UInt16(littleEndian: p.loadUnaligned(as: UInt16.self)) }

@inline(__always)
private func bits32(_ p: UnsafeRawPointer) -> UInt32 { UInt32(littleEndian: p.loadUnaligned(as: UInt32.self)) }

@inline(__always)
private func bits64(_ p: UnsafeRawPointer) -> UInt64 { UInt64(littleEndian: p.loadUnaligned(as: UInt64.self)) }

@inline(__always)
private func byte(_ p: UnsafeRawPointer, _ i: Int) -> UInt8 { p.load(fromByteOffset: i, as: UInt8.self) }

/// An IEEE half. Moving its exponent field into float32's place divides by 2¹¹²; the product is exact
/// and turns half denormals into normal numbers. Infinities and NaNs get the largest exponent. Without
/// branches it vectorizes for every x86-64, which the conversion instruction (F16C) would not.
@inline(__always)
private func half(_ p: UnsafeRawPointer) -> Float {
    let bits = UInt32(bits16(p))
    let magnitude = (bits & 0x7FFF) << 13
    let finite = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
    let special = magnitude | 0x7F80_0000
    return Float(bitPattern: (magnitude >= 0x0F80_0000 ? special : finite) | (bits & 0x8000) << 16)
}

// MARK: Blocks of 32

/// scale, 32 signed bytes: x = q · scale.
@inline(__always)
private func decodeQ8_0(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let scale = half(block)
    for i in 0..<32 { x[i] = Float(Int8(bitPattern: byte(block, 2 + i))) * scale }
}

/// scale, 16 bytes with elements 0–15 in the low and 16–31 in the high halves: x = scale · (q − 8).
@inline(__always)
private func decodeQ4_0(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let scale = half(block)
    for i in 0..<16 {
        let pair = Int32(byte(block, 2 + i))
        x[i] = scale * Float((pair & 15) &- 8)
        x[16 + i] = scale * Float((pair >> 4) &- 8)
    }
}

/// scale, minimum, 16 bytes as in Q4_0: x = scale · q + minimum.
@inline(__always)
private func decodeQ4_1(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let scale = half(block), minimum = half(block + 2)
    for i in 0..<16 {
        let pair = Int32(byte(block, 4 + i))
        x[i] = scale * Float(pair & 15) + minimum
        x[16 + i] = scale * Float(pair >> 4) + minimum
    }
}

/// scale, 32 fifth bits (element i in bit i), 16 bytes as in Q4_0: x = scale · (q − 16).
@inline(__always)
private func decodeQ5_0(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let scale = half(block), high = bits32(block + 2)
    for i in 0..<16 {
        let pair = Int32(byte(block, 6 + i))
        x[i] = scale * Float((pair & 15 | fifthBit(high, i)) &- 16)
        x[16 + i] = scale * Float((pair >> 4 | fifthBit(high, 16 + i)) &- 16)
    }
}

/// scale, minimum, fifth bits and bytes as in Q5_0: x = scale · q + minimum.
@inline(__always)
private func decodeQ5_1(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let scale = half(block), minimum = half(block + 2), high = bits32(block + 4)
    for i in 0..<16 {
        let pair = Int32(byte(block, 8 + i))
        x[i] = scale * Float(pair & 15 | fifthBit(high, i)) + minimum
        x[16 + i] = scale * Float(pair >> 4 | fifthBit(high, 16 + i)) + minimum
    }
}

@inline(__always)
private func fifthBit(_ bits: UInt32, _ i: Int) -> Int32 {
    Int32(bitPattern: (bits &>> UInt32(truncatingIfNeeded: i) & 1) << 4)
}

// MARK: Super-blocks of 256

/// Eight 6-bit scales and eight 6-bit minima in 12 bytes: entries 0–3 are the low six bits of bytes
/// 0–3 (scales) and 4–7 (minima); entries 4–7 have their low four bits in bytes 8–11 (scales in the low
/// halves) and their upper two in the top bits of bytes 0–3 and 4–7.
@inline(__always)
private func scaleAndMinimum(_ packed: UnsafeRawPointer, _ j: Int) -> (scale: Float, minimum: Float) {
    if j < 4 { return (Float(byte(packed, j) & 63), Float(byte(packed, 4 + j) & 63)) }
    let low = byte(packed, 4 + j)
    return (Float(low & 15 | byte(packed, j - 4) >> 2 & 48), Float(low >> 4 | byte(packed, j) >> 2 & 48))
}

/// scale, minimum, 12 bytes of sub-block scales, 128 bytes: bytes 32j… hold sub-blocks 2j (low halves)
/// and 2j + 1 (high halves). x = (scale · subScale) · q − minimum · subMinimum.
@inline(__always)
private func decodeQ4_K(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let scale = half(block), minimum = half(block + 2)
    for j in 0..<8 {
        let sub = scaleAndMinimum(block + 4, j)
        let d = scale * sub.scale, m = minimum * sub.minimum
        let quants = block + 16 + 32 * (j / 2), out = x + 32 * j
        let shift = Int32(4 * (j % 2))
        for i in 0..<32 { out[i] = d * Float(Int32(byte(quants, i)) &>> shift & 15) - m }
    }
}

/// As Q4_K, with 32 bytes of fifth bits before the halves: sub-block j has bit j of each.
@inline(__always)
private func decodeQ5_K(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let scale = half(block), minimum = half(block + 2)
    for j in 0..<8 {
        let sub = scaleAndMinimum(block + 4, j)
        let d = scale * sub.scale, m = minimum * sub.minimum
        let high = block + 16, quants = block + 48 + 32 * (j / 2), out = x + 32 * j
        let shift = Int32(4 * (j % 2)), highShift = Int32(j)
        for i in 0..<32 {
            let q = Int32(byte(quants, i)) &>> shift & 15 | (Int32(byte(high, i)) &>> highShift & 1) << 4
            out[i] = d * Float(q) - m
        }
    }
}

/// 128 bytes of low halves, 64 bytes of upper two bits, 16 signed scales, scale. Each half of the block
/// has four runs of 32 elements: runs 0 and 1 in the low, 2 and 3 in the high halves of its 64 bytes,
/// upper bits at 2 · run of its 32 bytes. x = (scale · subScale) · (q − 32), a sub-scale for 16 elements.
@inline(__always)
private func decodeQ6_K(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let scale = half(block + 208)
    for run in 0..<8 {
        let part = run / 4, r = run % 4
        let low = block + 64 * part + 32 * (r % 2), high = block + 128 + 32 * part
        let lowShift = Int32(4 * (r / 2)), highShift = Int32(2 * r)
        for sixteen in 0..<2 {
            let d = scale * Float(Int8(bitPattern: byte(block, 192 + 2 * run + sixteen)))
            let out = x + 32 * run + 16 * sixteen
            for i in 0..<16 {
                let at = 16 * sixteen + i
                let q = Int32(byte(low, at)) &>> lowShift & 15 | (Int32(byte(high, at)) &>> highShift & 3) << 4
                out[i] = d * Float(q &- 32)
            }
        }
    }
}
