/* A libFuzzer target: 4 bytes of length, an image of it, a match file. Whatever they are, the
 * kernel refuses them or runs. Long matches are cut, so that every input is quick. */
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint32_t length, digest[AWM_DIGEST_LANES];
  int equal;
  int32_t frames;
  if (size < sizeof length) return 0;
  memcpy(&length, data, sizeof length);
  data += sizeof length;
  size -= sizeof length;
  if (length > size || size - length > 1 << 16) return 0;
  uint8_t *image = malloc(length + 1);
  if (!image) return 0;
  memcpy(image, data, length);
  match_replay(image, length, data + length, size - length, 0, digest, &equal, &frames);
  free(image);
  return 0;
}
