//! Scalar functions without branches, so that loops over them become vector code.
#![allow(clippy::excessive_precision)] // Coefficients have the digits they were published with.

/// e^x within two units in the last place; Cephes `expf` (Moshier), the polynomial Eigen and ggml use too.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5·2^23 leaves the rounded integer in the low bits, without a conversion that would not vectorise.
    const MAGIC: f32 = 12_582_912.0;
    let x = x.clamp(-87.336_54, 88.376_26);
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * 0.693_359_375 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127)) << 23);
    p * scale
}

/// The error function, as a quotient of polynomials on ±4; the coefficients of Eigen's and XLA's single precision `erf`.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let mut a = -2.726_142_2e-10;
    a = a * s + 2.770_681_4e-8;
    a = a * s - 2.101_024e-6;
    a = a * s - 5.692_506_4e-5;
    a = a * s - 7.349_906_3e-4;
    a = a * s - 2.954_6e-3;
    a = a * s - 1.609_603_3e-2;
    let mut b = -1.456_607_2e-5;
    b = b * s - 2.133_740_6e-4;
    b = b * s - 1.682_827e-3;
    b = b * s - 7.373_329e-3;
    b = b * s - 1.426_473_9e-2;
    x * a / b
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// d/dx of x·sigmoid(x).
#[inline(always)]
pub(crate) fn silu_slope(x: f32) -> f32 {
    let s = sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

/// x·Φ(x), the exact GELU (Hendrycks and Gimpel 2016), torch's default.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// d/dx of x·Φ(x) = Φ(x) + x·φ(x).
#[inline(always)]
pub(crate) fn gelu_slope(x: f32) -> f32 {
    const INV_SQRT_2PI: f32 = 0.398_942_3;
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) + x * INV_SQRT_2PI * exp(-0.5 * x * x)
}

/// 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715 x³))), the approximate GELU of GPT-2, T5 and Flux; as x·sigmoid(2u), which is the
/// same function.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    x * sigmoid(TWO_SQRT_2_PI * x * (1.0 + 0.044_715 * x * x))
}

/// 2·√(2/π)
const TWO_SQRT_2_PI: f32 = 1.595_769_1;

/// d/dx of the approximate GELU.
#[inline(always)]
pub(crate) fn gelu_tanh_slope(x: f32) -> f32 {
    let s = sigmoid(TWO_SQRT_2_PI * x * (1.0 + 0.044_715 * x * x));
    s * (1.0 + x * (1.0 - s) * TWO_SQRT_2_PI * (1.0 + 0.134_145 * x * x))
}

/// x·sigmoid(1.702 x), the GELU of OpenAI's CLIP.
#[inline(always)]
pub(crate) fn quick_gelu(x: f32) -> f32 {
    x * sigmoid(1.702 * x)
}

/// d/dx of x·sigmoid(1.702 x).
#[inline(always)]
pub(crate) fn quick_gelu_slope(x: f32) -> f32 {
    let s = sigmoid(1.702 * x);
    s * (1.0 + 1.702 * x * (1.0 - s))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Series and continued fraction in f64; good to 1e-12 on the tested range.
    fn erf64(x: f64) -> f64 {
        let (mut sum, mut term) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn exp_is_within_a_few_units_in_the_last_place() {
        for i in -8600..8800 {
            let x = i as f32 * 0.01;
            let want = f64::from(x).exp();
            let got = f64::from(exp(x));
            assert!((got - want).abs() <= 3e-7 * want, "exp({x}) = {got}, expected {want}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-1e9) < 1e-37);
    }

    #[test]
    fn gelu_and_its_slope_match_double_precision() {
        for i in -500..500 {
            let x = i as f32 * 0.01;
            let wide = f64::from(x);
            let phi = 0.5 * (1.0 + if wide.abs() < 5.5 { erf64(wide / 2f64.sqrt()) } else { wide.signum() });
            assert!((f64::from(gelu(x)) - wide * phi).abs() < 1e-6, "gelu({x})");
            let slope = phi + wide * (-0.5 * wide * wide).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((f64::from(gelu_slope(x)) - slope).abs() < 2e-6, "slope at {x}");
        }
    }

    #[test]
    fn slopes_match_differences() {
        type Function = fn(f32) -> f32;
        let cases: [(Function, Function); 3] =
            [(|x| x * sigmoid(x), silu_slope), (quick_gelu, quick_gelu_slope), (gelu_tanh, gelu_tanh_slope)];
        for (value, slope) in cases {
            for i in -40..40 {
                let x = i as f32 * 0.1;
                let difference = (value(x + 5e-3) - value(x - 5e-3)) / 1e-2;
                assert!((difference - slope(x)).abs() < 2e-4, "slope at {x}");
            }
        }
    }
}
