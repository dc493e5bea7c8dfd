//! Small decoders for previews against diffusers' AutoencoderTiny (tests/peers/make_models.py made them).

use super::sd2::data;
use super::{assert_close, exact, tensors};
use models::Preview;

#[test]
fn small_decoders_match_diffusers_in_both_namings() {
    for (name, channels) in [("taesd", 4), ("taef1", 16)] {
        let case = tensors(&data(&format!("{name}_outputs.safetensors")));
        let decoder = Preview::load(&data(&format!("{name}.safetensors"))).unwrap();
        assert_eq!(decoder.channels(), channels);
        let picture = decoder.decode(&case["latent"]).unwrap();
        assert_close(name, &picture, &case["picture"]);
        let numbered = Preview::load(&data(&format!("{name}_decoder.safetensors"))).unwrap();
        exact(&numbered.decode(&case["latent"]).unwrap(), &picture);
        assert!(decoder.decode(&case["picture"]).is_err());
        let seen = models::look_at(&data(&format!("{name}_decoder.safetensors"))).unwrap().unwrap();
        assert_eq!(seen.name, "a small decoder for previews");
    }
    let error = Preview::load(&data("sd2_single.safetensors")).err().unwrap().to_string();
    assert!(error.contains("TAESD"), "{error}");
}
