/* awm-replay-check IMAGE MATCH: replays a recorded match and prints its digest.
 *
 * IMAGE is a cartridge's world as `awm-convert image` writes it (layout: ../image.py), MATCH a match
 * as `awm export` does (../match_file.py). Exit status: 0 the digest is the recorded one, 1 it is another,
 * 2 the files cannot be read or are refused. $AWM_PATH forces a path. */
#include <stdio.h>

#include "replay.h"

static uint8_t *read_file(const char *name, size_t *length) {
  FILE *file = fopen(name, "rb");
  uint8_t *bytes = 0;
  if (file && fseek(file, 0, SEEK_END) == 0) {
    long size = ftell(file);
    rewind(file);
    bytes = size < 0 ? 0 : malloc((size_t)size + 1);
    if (bytes && fread(bytes, 1, (size_t)size, file) != (size_t)size) {
      free(bytes);
      bytes = 0;
    }
    *length = size < 0 ? 0 : (size_t)size;
  }
  if (file) fclose(file);
  if (!bytes) fprintf(stderr, "awm-replay-check: cannot read %s\n", name);
  return bytes;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr,
            "usage: awm-replay-check IMAGE MATCH (from: awm-convert image, awm export)\n");
    return 2;
  }
  size_t image_length = 0, match_length = 0;
  uint8_t *image = read_file(argv[1], &image_length);
  uint8_t *match = image ? read_file(argv[2], &match_length) : 0;
  const char *wrong = 0;
  uint32_t digest[AWM_DIGEST_LANES];
  int equal = 0;
  int32_t frames = 0;
  if (image && match)
    wrong = match_replay(image, image_length, match, match_length, getenv("AWM_PATH"), digest,
                         &equal, &frames);
  int read = image && match;
  free(image);
  free(match);
  if (wrong) fprintf(stderr, "awm-replay-check: %s\n", wrong);
  if (!read || wrong) return 2;
  for (int i = 0; i < AWM_DIGEST_LANES; i++) printf("%08x", (unsigned)digest[i]);
  printf(" %s after %d frames\n", equal ? "equal" : "DIFFERENT", (int)frames);
  return equal ? 0 : 1;
}
