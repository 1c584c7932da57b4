/* The layout of the structs of ABI 1, as programs compiled against it have it. A struct may grow at its
 * end; a line here changes only together with SHRINK_ABI_VERSION. */
#include "shrink.h"

#define SIZE(type, size) _Static_assert(sizeof(type) >= (size), #type " shrank")
#define SAME_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " changed its size")
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field " moved")

_Static_assert(SHRINK_ABI_VERSION == 1, "write the new layout down");
_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "the library is made for 64-bit systems");
_Static_assert(sizeof(shrink_code) == 4 && sizeof(shrink_type) == 4 && sizeof(shrink_stop) == 4, "enums are ints");

SAME_SIZE(shrink_error, 24);
AT(shrink_error, detail, 8);
AT(shrink_error, message, 16);
SAME_SIZE(shrink_text, 16);
SAME_SIZE(shrink_tokens, 32);
AT(shrink_tokens, count, 16);
AT(shrink_tokens, was_cut, 24);
SAME_SIZE(shrink_rows, 32);
SAME_SIZE(shrink_message, 32);
SAME_SIZE(shrink_input, 32);
AT(shrink_input, data, 16);
SAME_SIZE(shrink_output, 40);
AT(shrink_output, count, 32);
SAME_SIZE(shrink_generated, 16);

SIZE(shrink_model_options, 88);
AT(shrink_model_options, max_file_bytes, 48);
AT(shrink_model_options, max_context, 72);
AT(shrink_model_options, flags, 80);
SIZE(shrink_model_info, 72);
AT(shrink_model_info, vocabulary_size, 16);
AT(shrink_model_info, fingerprint, 40);
SIZE(shrink_entry_info, 32);
AT(shrink_entry_info, max_tokens, 16);
SIZE(shrink_tokenize_options, 40);
AT(shrink_tokenize_options, flags, 32);
SIZE(shrink_session_options, 64);
AT(shrink_session_options, max_bytes, 40);
AT(shrink_session_options, context, 48);
AT(shrink_session_options, threads, 56);
SIZE(shrink_memory, 40);
SIZE(shrink_sampling, 32);
AT(shrink_sampling, temperature, 16);
AT(shrink_sampling, top_k, 24);
SIZE(shrink_generate_options, 32);
AT(shrink_generate_options, max_tokens, 24);
