/* The part of XLA's FFI C interface (version 0.3) that the kernel's handlers use, so that building
 * needs no jaxlib. A test compares it with the header of the installed jaxlib; at run time XLA
 * checks the version that a handler reports. */
#ifndef AWM_XLA_FFI_H
#define AWM_XLA_FFI_H

#include <stddef.h>
#include <stdint.h>

enum { FFI_MAJOR = 0, FFI_MINOR = 3 };
enum { FFI_EXTENSION_METADATA = 1 };
enum { FFI_S16 = 3, FFI_S32 = 4, FFI_U8 = 6 };
enum { FFI_INVALID_ARGUMENT = 3, FFI_RESOURCE_EXHAUSTED = 8 };
enum { FFI_EXECUTE = 3 };

typedef struct ffi_extension {
  size_t struct_size;
  int type;
  struct ffi_extension *next;
} ffi_extension;

typedef struct {
  size_t struct_size;
  ffi_extension *extension_start;
  int major_version, minor_version;
} ffi_version;

typedef struct {
  size_t struct_size;
  ffi_version api_version;
  uint32_t traits;
  int64_t state_type_id;
} ffi_metadata;

typedef struct {
  ffi_extension extension_base;
  ffi_metadata *metadata;
} ffi_metadata_extension;

typedef struct {
  size_t struct_size;
  ffi_extension *extension_start;
  int dtype;
  void *data;
  int64_t rank;
  int64_t *dims;
} ffi_buffer;

typedef struct {
  size_t struct_size;
  ffi_extension *extension_start;
  int64_t size;
  int *types;
  void **values;
} ffi_values;

typedef struct {
  const char *ptr;
  size_t len;
} ffi_span;

typedef struct {
  int dtype;
  void *value;
} ffi_scalar;

typedef struct {
  size_t struct_size;
  ffi_extension *extension_start;
  int64_t size;
  int *types;
  ffi_span **names;
  void **values;
} ffi_attrs;

typedef struct {
  size_t struct_size;
  ffi_extension *extension_start;
  const char *message;
  int code;
} ffi_error_args;

typedef struct {
  size_t struct_size;
  ffi_extension *extension_start;
  void *error;
} ffi_error_destroy_args;

typedef struct {
  size_t struct_size;
  ffi_extension *extension_start;
  void *ctx;
  void (*task)(void *data);
  void *data;
} ffi_schedule_args;

typedef struct {
  size_t struct_size;
  ffi_extension *extension_start;
  void *ctx;
  int64_t *num_threads;
} ffi_threads_args;

typedef struct {
  size_t struct_size;
  ffi_extension *extension_start;
  ffi_version api_version;
  const void *internal_api;
  void *(*error_create)(ffi_error_args *);
  void *error_get_message;
  void (*error_destroy)(ffi_error_destroy_args *);
  void *handler_register, *stream_get, *type_register, *context_get, *state_set, *state_get;
  void *memory_allocate, *memory_free;
  void *(*schedule)(ffi_schedule_args *);
  void *(*num_threads)(ffi_threads_args *);
} ffi_api;

typedef struct {
  size_t struct_size;
  ffi_extension *extension_start;
  const ffi_api *api;
  void *ctx;
  int stage;
  ffi_values args, rets;
  ffi_attrs attrs;
  void *future;
} ffi_call;

#endif
