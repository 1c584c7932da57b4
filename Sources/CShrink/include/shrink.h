/* shrink.h: runs *.shrink models on small devices. The C interface of libshrink.
 *
 *     cc -std=c99 daemon.c $(pkg-config --cflags --libs shrink)
 *
 * A model is opened once and shared by threads; a session is one sequence of tokens going through
 * it, and belongs to one thread at a time:
 *
 *     shrink_error error;
 *     shrink_model *model;
 *     shrink_tokenizer *tokenizer;
 *     shrink_session *session;
 *     shrink_session_options options = shrink_session_options_default();
 *     options.entry = "embed";
 *     if (shrink_model_open("minilm.shrink", NULL, &model, &error) != SHRINK_OK ||
 *         shrink_tokenizer_create(model, &tokenizer, &error) != SHRINK_OK ||
 *         shrink_session_create(model, &options, &session, &error) != SHRINK_OK)
 *         die("%s (%lld)", error.message, (long long)error.detail);
 *     float vector[384];
 *     shrink_session_embed(session, tokenizer, text, strlen(text), vector, 384, &error);
 *
 * WHAT THE LIBRARY DOES NOT DO. It never prints, exits, aborts, installs signal handlers, changes
 * the locale, the rounding mode or the environment, and starts no thread that was not asked for. It
 * keeps no global state. What a model file, a saved state, a text or an argument holds leads to an
 * error code, never to a crash; only pointers must be what this header says they are.
 *
 * ERRORS. Every function that can fail returns a shrink_code, SHRINK_OK (0) being success, and fills
 * *error when `error` is not NULL (also on success, with SHRINK_OK). When a function fails, its
 * outputs are as they were, except that a handle it should have made is NULL.
 *
 * OPTION STRUCTS start with `struct_size`, which is sizeof the struct as the program was compiled.
 * All other fields may be 0, which means the default; the functions shrink_..._default() make such
 * structs. A library newer than the program fills in defaults for the fields that the program does
 * not know; one older than the program refuses options that it does not know, unless they are 0.
 * A NULL pointer instead of options means all defaults. Info structs, which the library fills in, carry
 * `struct_size` likewise: set it before the call. What options point to is copied, unless said otherwise.
 *
 * THREADS. Each function says which of these it is:
 *   [any]      may be called by any threads at the same time, also with the same handle;
 *   [handle]   one thread at a time for one handle (of the kind in the function's name), any for
 *              different handles of the same model.
 * A mutex around a [handle] function is enough; no function depends on which thread calls it.
 * After fork() without exec a child may use models, tokenizers and sessions with one thread; a
 * session with threads of its own belongs to the process that made it.
 *
 * CALLBACKS (allocator, parallel_for, log, on_token) are called only during a call of a function of
 * this library, and return normally: no longjmp, no C++ exception. on_token may call any function
 * for other handles, and for its own session only shrink_session_cancel and the [any] queries.
 *
 * MEMORY. All memory of the library comes from the allocator of the model's options. A model takes
 * its when it is opened, a session when it is made; a step of a session (feed, run, generate and each
 * token of it, sample) allocates nothing. A tokenizer's scratch memory grows with the longest text it has
 * seen and is kept. The stacks of a session's own threads, and mappings of files, come from the system.
 *
 * THE SAME BITS. A model gives the same output bits on every instruction set and CPU, with any
 * number of threads and any split of the tokens into calls. This needs the default floating-point
 * environment: round to nearest, subnormals kept.
 */
#ifndef SHRINK_H
#define SHRINK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------ versions */

#define SHRINK_VERSION "0.1.0"
/* Raised when a program compiled before can no longer use the library; part of the soname. */
#define SHRINK_ABI_VERSION 1

/* The SHRINK_ABI_VERSION that the library was compiled with; compare it with the header's. [any] */
uint32_t shrink_abi_version(void);
/* The library's version, such as "0.1.0". A string that lives as long as the library. [any] */
const char *shrink_version(void);

/* -------------------------------------------------------------------------------------- errors */

typedef enum shrink_code {
    SHRINK_OK = 0,
    SHRINK_ERROR_INPUT_OUTPUT = 1,        /* a file could not be opened, read or mapped; detail: errno */
    SHRINK_ERROR_INVALID_ARTIFACT = 2,    /* not a model file, or a damaged one; detail: byte offset or record index */
    SHRINK_ERROR_UNSUPPORTED_VERSION = 3, /* the file needs another version of the library; detail: its version */
    SHRINK_ERROR_OUT_OF_MEMORY = 4,       /* the allocator gave none (detail: bytes), or the system no thread (detail: errno) */
    SHRINK_ERROR_INVALID_ARGUMENT = 5,    /* a wrong argument, or something that this model cannot do */
    SHRINK_ERROR_LIMIT_EXCEEDED = 6,      /* more than a limit, the context or a buffer takes; detail: the limit or the need */
    SHRINK_ERROR_UNSUPPORTED_ISA = 7,     /* this CPU or this library lacks the instruction set that was asked for */
    SHRINK_ERROR_CANCELLED = 8,           /* shrink_session_cancel was called */
    SHRINK_ERROR_SELF_TEST = 9,           /* this machine computes something else than the one that packed the model */
    SHRINK_ERROR_INVALID_STATE = 10       /* a saved state is damaged or of another model; detail: byte offset */
} shrink_code;

typedef struct shrink_error {
    shrink_code code;
    uint32_t reserved;
    /* A number that belongs to the message: errno, a byte offset, an index, a size, a limit. */
    int64_t detail;
    /* One line of English, never NULL; a string that lives as long as the library. */
    const char *message;
} shrink_error;

/* The name of a code, such as "out of memory"; "unknown error" for other numbers. Lives as long as
 * the library. [any] */
const char *shrink_code_name(shrink_code code);

/* Text that someone else owns: UTF-8, not terminated by a zero byte. */
typedef struct shrink_text {
    const char *bytes;
    size_t count;
} shrink_text;

/* ----------------------------------------------------------------------------------------- CPU */

/* Describes which instruction sets the library has kernels for, which of them this machine runs and
 * which one a session takes: a line for each, "* avx2           ready\n" the one taken, and a last one
 * that says why. Writes at most `capacity` bytes into `buffer` (NULL when capacity is 0), always
 * with a terminating zero byte. Returns the length of the whole text without that byte. [any] */
size_t shrink_cpu_describe(char *buffer, size_t capacity);

/* ------------------------------------------------------------------------------------ callbacks */

/* Memory of `byte_count` (> 0) bytes aligned to `alignment` (a power of two), or NULL when there is
 * none. Called from any thread that calls the library, never from its worker threads. */
typedef void *(*shrink_allocate_fn)(void *context, size_t byte_count, size_t alignment);
typedef void (*shrink_deallocate_fn)(void *context, void *pointer);

/* What happens, one line without a line break, zero-terminated, valid during the call: which file was opened
 * and how, what a session runs with, a self-test or a saved state that failed. Nothing is logged for
 * a step. Called on the calling thread; several threads may log at the same time. */
typedef enum shrink_log_level { SHRINK_LOG_INFO = 0, SHRINK_LOG_WARNING = 1 } shrink_log_level;
typedef void (*shrink_log_fn)(void *context, shrink_log_level level, const char *message);

/* A share of parallel work. */
typedef void (*shrink_task_fn)(void *task_context, size_t index);
/* The caller's threads: calls task(task_context, i) once for every i in 0 ... count - 1, on any threads, and
 * returns when all calls have returned. It may run them one after the other on the calling thread. */
typedef void (*shrink_parallel_fn)(void *context, size_t count, shrink_task_fn task, void *task_context);

/* --------------------------------------------------------------------------------------- models */

/* A verified model file. Immutable, counted references. Whatever is made of it keeps it alive. */
typedef struct shrink_model shrink_model;

/* Flags of shrink_model_options. */
enum {
    /* Copies the file into memory of the allocator instead of mapping it.
     *
     * A mapped file is shared by all processes and needs no memory that the kernel could not drop and read
     * again; this is the default. But a mapping shows what happens to the file: someone who
     * TRUNCATES IT KILLS EVERY PROCESS THAT READS IT (SIGBUS), and someone who writes into it
     * changes weights that were checked. So never write to an installed model file. To replace one, write the new
     * file beside it under another name, fsync it, and rename() it over the old name: who has the
     * old one open keeps it until it is closed. Where that cannot be promised, set this flag. */
    SHRINK_MODEL_READ_INTO_MEMORY = 1u << 0,
    /* Compares the SHA-256 of the weights with the file's; everything else is always compared.
     * Costs a pass over the file. Damaged weights are safe to run, but give other results. */
    SHRINK_MODEL_VERIFY_WEIGHTS = 1u << 1
};

typedef struct shrink_model_options {
    size_t struct_size;
    /* NULL, both: posix_memalign and free. Otherwise both are set, and stay callable, with the context, until
     * the model and all that was made of it are gone. */
    shrink_allocate_fn allocate;
    shrink_deallocate_fn deallocate;
    void *allocator_context;
    /* NULL: nothing is logged. Stays callable as long as the allocator. */
    shrink_log_fn log;
    void *log_context;
    uint64_t max_file_bytes;    /* the largest model file to accept; 0: any */
    uint64_t max_session_bytes; /* the most memory for each session; 0: any */
    uint64_t max_text_bytes;    /* the longest text of a call; 0: 512 MiB. A tokenizer's scratch memory
                                   takes up to about 50 bytes for each byte of text */
    uint32_t max_context;       /* the most tokens that a session may have room for; 0: the model's own limit */
    uint32_t max_threads;       /* for each session; 0: 256, which is the most there can be */
    uint32_t flags;             /* SHRINK_MODEL_... */
    uint32_t reserved;          /* 0 */
} shrink_model_options;

static inline shrink_model_options shrink_model_options_default(void) {
    shrink_model_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    return options;
}

/* Opens and verifies a model file. It must be a regular file. On success *model is a reference that
 * shrink_model_release gives back. [any] */
shrink_code shrink_model_open(
    const char *path, const shrink_model_options *options, shrink_model **model, shrink_error *error);

/* The same from a file descriptor of a regular file (or memfd) that is open for reading, from its first byte
 * on, whatever its offset, which does not change. The descriptor stays the caller's, who may close
 * it after the call. [any] */
shrink_code shrink_model_open_fd(
    int descriptor, const shrink_model_options *options, shrink_model **model, shrink_error *error);

/* The same from memory. With SHRINK_MODEL_READ_INTO_MEMORY the bytes are copied; without, they are used in
 * place: aligned to 64 bytes, and unchanged until the model and all that was made of it are gone. [any] */
shrink_code shrink_model_open_memory(
    const void *bytes, size_t byte_count, const shrink_model_options *options, shrink_model **model, shrink_error *error);

/* One more reference; returns `model`. [any] */
shrink_model *shrink_model_retain(shrink_model *model);
/* One reference less; the last one of all (sessions and tokenizers hold theirs) frees the model.
 * NULL is ignored. [any] */
void shrink_model_release(shrink_model *model);

enum {
    SHRINK_MODEL_HAS_TOKENIZER = 1u << 0,
    SHRINK_MODEL_HAS_CHAT_TEMPLATE = 1u << 1,
    SHRINK_MODEL_HAS_SELF_TEST = 1u << 2
};

typedef struct shrink_model_info {
    size_t struct_size;
    uint64_t file_bytes;
    uint32_t vocabulary_size; /* token ids are below this */
    /* Positions that the model was made for, or the model options' limit. UINT32_MAX: there is no limit; a purely
     * recurrent model takes any number of tokens in the same memory. */
    uint32_t max_context;
    uint32_t label_count;
    uint32_t entry_count;
    uint32_t flags;           /* SHRINK_MODEL_HAS_... */
    uint32_t reserved;
    /* Identifies the file's contents: the SHA-256 of its list of checksums. Saved states carry it. */
    uint8_t fingerprint[32];
} shrink_model_info;

/* What the model is. Set info->struct_size before. [any] */
shrink_code shrink_model_get_info(const shrink_model *model, shrink_model_info *info, shrink_error *error);

enum {
    SHRINK_ENTRY_HAS_STATE = 1u << 0,      /* tokens follow each other; otherwise each call is a whole input */
    SHRINK_ENTRY_ROW_PER_TOKEN = 1u << 1,  /* otherwise the output is one row */
    SHRINK_ENTRY_SCORES_SIGMOID = 1u << 2, /* labels do not exclude each other; otherwise their scores are a softmax */
    SHRINK_ENTRY_SCORES_VALUE = 1u << 3    /* or they are values as they stand, such as those of a regression */
};

/* An entry point: something that the model can compute. Its name is one of
 *     "generate"  logits of the token after the last; has state
 *     "score"     the same after every token; has state
 *     "embed"     one vector for the whole input
 *     "classify"  a row of label logits for the whole input
 *     "tag"       a row of label logits for every token
 *     "encode"    the last hidden state of every token */
typedef struct shrink_entry_info {
    size_t struct_size;
    const char *name;     /* zero-terminated, lives as long as the library */
    uint32_t max_tokens;  /* of one input; for entries with state, of one step */
    uint32_t columns;     /* floats of an output row */
    uint32_t flags;       /* SHRINK_ENTRY_... */
    uint32_t reserved;
} shrink_entry_info;

/* Entry point `index` (below entry_count). Set info->struct_size before. [any] */
shrink_code shrink_model_get_entry(const shrink_model *model, uint32_t index, shrink_entry_info *info, shrink_error *error);

/* The name of label `index` (below label_count); lives as long as the model. [any] */
shrink_code shrink_model_get_label(const shrink_model *model, uint32_t index, shrink_text *label, shrink_error *error);

/* The file's manifest.json: provenance, licence, measured quality. Lives as long as the model. Untrusted text. [any] */
shrink_code shrink_model_get_manifest(const shrink_model *model, shrink_text *manifest, shrink_error *error);

/* Runs the self-test of the file and compares the result, bit by bit, with that of the machine which
 * packed it: SHRINK_OK, or SHRINK_ERROR_SELF_TEST. SHRINK_ERROR_INVALID_ARGUMENT when the file has none
 * (SHRINK_MODEL_HAS_SELF_TEST tells). instruction_set and threads: as in shrink_session_options; the
 * limits of memory and threads of the model's options hold. Takes a session's memory for the time of the call. [any] */
shrink_code shrink_model_self_test(
    const shrink_model *model, const char *instruction_set, uint32_t threads, shrink_error *error);

/* ------------------------------------------------------------------------------------ tokenizers */

/* Turns text into token ids. Scratch memory of one thread over the model's tables. */
typedef struct shrink_tokenizer shrink_tokenizer;

/* [any] for the model */
shrink_code shrink_tokenizer_create(const shrink_model *model, shrink_tokenizer **tokenizer, shrink_error *error);
/* NULL is ignored. [handle] */
void shrink_tokenizer_free(shrink_tokenizer *tokenizer);

/* Tokens that the tokenizer owns, until its next call. */
typedef struct shrink_tokens {
    const uint32_t *ids;
    const uint32_t *segments; /* 1 for the second text of a pair, 0 otherwise, as the model wants it */
    size_t count;
    uint32_t was_cut;         /* whether max_tokens cut the text */
    uint32_t reserved;
} shrink_tokens;

enum {
    /* Without the tokens, such as [CLS], that the model wants around a text. */
    SHRINK_TOKENIZE_PLAIN = 1u << 0,
    /* Text that spells a special token, such as "<|im_end|>", becomes that token. Not for text from strangers. */
    SHRINK_TOKENIZE_PARSE_SPECIAL = 1u << 1
};

typedef struct shrink_tokenize_options {
    size_t struct_size;
    /* A second text, for models that compare two; NULL: none. Used during the call only. */
    const char *pair;
    size_t pair_bytes;
    /* Cuts the end of a text that has more tokens; the special ones after it stay. 0: no limit. A pair that is
     * too long is SHRINK_ERROR_LIMIT_EXCEEDED, and so is a text of which no token would be left. */
    size_t max_tokens;
    uint32_t flags;    /* SHRINK_TOKENIZE_... */
    uint32_t reserved; /* 0 */
} shrink_tokenize_options;

static inline shrink_tokenize_options shrink_tokenize_options_default(void) {
    shrink_tokenize_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    return options;
}

/* The tokens of a text (NULL when text_bytes is 0). Bytes that are not UTF-8 count as U+FFFD. [handle] */
shrink_code shrink_tokenizer_encode(
    shrink_tokenizer *tokenizer, const char *text, size_t text_bytes, const shrink_tokenize_options *options,
    shrink_tokens *tokens, shrink_error *error);

typedef struct shrink_message {
    shrink_text role; /* "system", "user", "assistant" */
    shrink_text content;
} shrink_message;

enum {
    /* Does not end with the start of the assistant's answer. */
    SHRINK_CHAT_NO_PROMPT = 1u << 0,
    /* As SHRINK_TOKENIZE_PARSE_SPECIAL: without it no content can end its own message. */
    SHRINK_CHAT_PARSE_SPECIAL = 1u << 1
};

/* The tokens of a conversation in the model's chat format, with the model's default system message
 * when it does not start with one. SHRINK_ERROR_INVALID_ARGUMENT when the model has no chat format that the
 * library knows (SHRINK_MODEL_HAS_CHAT_TEMPLATE tells). `flags`: SHRINK_CHAT_... [handle] */
shrink_code shrink_tokenizer_encode_chat(
    shrink_tokenizer *tokenizer, const shrink_message *messages, size_t message_count, uint32_t flags, shrink_tokens *tokens,
    shrink_error *error);

/* Whether generation ends with this token: 1 or 0. [any] */
int shrink_tokenizer_is_stop(const shrink_tokenizer *tokenizer, uint32_t token);

/* Turns token ids into text, one at a time; what has come out is always whole UTF-8 characters. */
typedef struct shrink_detokenizer shrink_detokenizer;

enum {
    /* Special tokens come out as they are spelled; otherwise they are left out. */
    SHRINK_DETOKENIZE_SHOW_SPECIAL = 1u << 0
};

/* `flags`: SHRINK_DETOKENIZE_... Takes all the memory it will need. [any] for the model */
shrink_code shrink_detokenizer_create(
    const shrink_model *model, uint32_t flags, shrink_detokenizer **detokenizer, shrink_error *error);
/* NULL is ignored. [handle] */
void shrink_detokenizer_free(shrink_detokenizer *detokenizer);
/* The text that is certain once `token` is known; may be empty. It lives until the next call with this
 * detokenizer. Numbers that are not tokens add nothing. Bytes that cannot become a character any more
 * come out as U+FFFD. [handle] */
shrink_code shrink_detokenizer_push(
    shrink_detokenizer *detokenizer, uint32_t token, shrink_text *text, shrink_error *error);
/* Ends the text: its rest, and ready for another one. [handle] */
shrink_code shrink_detokenizer_finish(shrink_detokenizer *detokenizer, shrink_text *text, shrink_error *error);

/* -------------------------------------------------------------------------------------- sessions */

/* One sequence of tokens going through one entry point of a model. */
typedef struct shrink_session shrink_session;

typedef struct shrink_session_options {
    size_t struct_size;
    /* The name of an entry point; NULL: the model's first. */
    const char *entry;
    /* The name of an instruction set, such as "avx2" or "dotprod". NULL: what the environment variable
     * SHRINK_ISA names, or the best one. One that does not run here is SHRINK_ERROR_UNSUPPORTED_ISA. (The variable
     * is read by shrink_session_create; no other thread may change the environment at that moment.) */
    const char *instruction_set;
    /* NULL: threads of the session's own, when `threads` is above 1. Otherwise the caller's threads, and
     * `threads` is the number of shares that work is split into. */
    shrink_parallel_fn parallel_for;
    void *parallel_context;
    uint64_t max_bytes; /* the most memory for this session; 0: the limit of the model's options */
    /* Tokens to have room for: those kept, or the longest input of entries without state. 0: as many as
     * the model's limit allows. The memory of an entry with state grows with it. */
    uint32_t context;
    /* The most tokens computed at once, for entries with state; fewer take less memory, more are faster. 0: 128. */
    uint32_t chunk;
    /* Threads that compute, the calling one included; 0: 1. Own threads spin for some tens of microseconds, then
     * sleep: an idle session uses no CPU. */
    uint32_t threads;
    uint32_t reserved; /* 0 */
} shrink_session_options;

static inline shrink_session_options shrink_session_options_default(void) {
    shrink_session_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    return options;
}

/* Takes all the memory that the session will ever need and starts its threads. [any] for the model */
shrink_code shrink_session_create(
    const shrink_model *model, const shrink_session_options *options, shrink_session **session, shrink_error *error);
/* Ends its threads and gives the memory back. NULL is ignored. No other call with this session is
 * running or will come, shrink_session_cancel included. [handle] */
void shrink_session_free(shrink_session *session);

typedef struct shrink_memory {
    size_t struct_size;
    uint64_t session_bytes; /* exactly what shrink_session_create asks the allocator for, with these options */
    uint64_t stack_bytes;   /* address space of the stacks of its own threads, which they touch in part */
    uint64_t model_bytes;   /* what the open model has asked the allocator for */
    uint64_t mapped_bytes;  /* of the file; resident as far as it has been read */
} shrink_memory;

/* Predicts the memory of a session without making it; fails as making it would, but for lack of memory.
 * Set memory->struct_size before. [any] */
shrink_code shrink_session_predict_memory(
    const shrink_model *model, const shrink_session_options *options, shrink_memory *memory, shrink_error *error);

/* Tokens that the session holds; 0 for entries without state. Without a limit of the context it counts to UINT32_MAX
 * and stays there. [handle] */
size_t shrink_session_position(const shrink_session *session);
/* Tokens that it has room for; PTRDIFF_MAX when there is no limit. [any] */
size_t shrink_session_context(const shrink_session *session);
/* The name of the instruction set that it runs with; lives as long as the library. [any] */
const char *shrink_session_instruction_set(const shrink_session *session);

/* Keeps the first `count` tokens, which it holds at least; 0 empties the session. A model with recurrent layers keeps
 * all or none (else INVALID_ARGUMENT): save the state that is to come back. [handle] */
shrink_code shrink_session_truncate(shrink_session *session, size_t count, shrink_error *error);

/* Rows of floats in the session's memory, until its next call. Row i starts at data + i * stride. */
typedef struct shrink_rows {
    const float *data;
    size_t rows;
    size_t columns;
    size_t stride; /* floats */
} shrink_rows;

/* Runs `count` (at least 1) tokens, which follow those that the session holds; entries without state take them as a
 * whole input. `segments`: as many, or NULL for all 0. *rows (NULL when not wanted) is the output of the
 * entry point; for "score" and more tokens than a chunk, that of the last chunk. When it fails the session
 * holds the tokens it held before. LIMIT_EXCEEDED when the context is too short, INVALID_ARGUMENT
 * (detail: index) for a token that the model does not have, CANCELLED. [handle] */
shrink_code shrink_session_feed(
    shrink_session *session, const uint32_t *tokens, const uint32_t *segments, size_t count, shrink_rows *rows,
    shrink_error *error);

/* Ends the running call of feed, run or generate, or the next one, with SHRINK_ERROR_CANCELLED, after at most
 * one instruction of the model's program. It stays so until shrink_session_clear_cancel. Also from a signal
 * handler. [any] */
void shrink_session_cancel(shrink_session *session);
/* [any] */
void shrink_session_clear_cancel(shrink_session *session);

/* -------------------------------------------------------------------- generic run of an entry point */

typedef enum shrink_type { SHRINK_TYPE_FLOAT32 = 0, SHRINK_TYPE_INT32 = 1, SHRINK_TYPE_UINT32 = 2 } shrink_type;

/* `name` is zero-terminated, `count` the number of elements. */
typedef struct shrink_input {
    const char *name;
    shrink_type type;
    uint32_t reserved; /* 0 */
    const void *data;
    size_t count;
} shrink_input;

typedef struct shrink_output {
    const char *name;
    shrink_type type;
    uint32_t reserved; /* 0 */
    void *data;
    size_t capacity;   /* elements that there is room for */
    size_t count;      /* set by the call: elements that were written */
} shrink_output;

/* Runs the session's entry point with buffers by name. Inputs: "tokens" (INT32 or UINT32), and "segments" (the
 * same, as many) if wanted. Outputs: "output" (FLOAT32), all of its rows one after the other: `columns` of
 * shrink_entry_info, once, or for each token; it may be left out. At most one chunk of tokens for entries
 * with a row per token and state. Checks everything, the room of the outputs too, before it runs. Otherwise as
 * shrink_session_feed. [handle] */
shrink_code shrink_session_run(
    shrink_session *session, const shrink_input *inputs, size_t input_count, shrink_output *outputs, size_t output_count,
    shrink_error *error);

/* ------------------------------------------------------------------------------- text in, vector out */

/* The embedding of a text by a session of "embed" and a tokenizer of the same model. A text of more tokens
 * than the session's context is cut. Writes `columns` of shrink_entry_info floats;
 * LIMIT_EXCEEDED (detail: the need) when `capacity` is less. A text without any token is
 * INVALID_ARGUMENT. [handle], for both */
shrink_code shrink_session_embed(
    shrink_session *session, shrink_tokenizer *tokenizer, const char *text, size_t text_bytes, float *vector, size_t capacity,
    shrink_error *error);

/* The scores (0 ... 1, or values: see the entry's flags) of all labels for a text by a session of "classify", with the second text and the flags of
 * `options`; its max_tokens is at most the session's context, which is also the default. *best (NULL when not
 * wanted) is the index of the largest. Otherwise as shrink_session_embed. [handle], for both */
shrink_code shrink_session_classify(
    shrink_session *session, shrink_tokenizer *tokenizer, const char *text, size_t text_bytes,
    const shrink_tokenize_options *options, float *scores, size_t capacity, uint32_t *best, shrink_error *error);

/* ------------------------------------------------------------------------------------- generation */

/* How the next token is chosen: logits are divided by the temperature, of the top_k largest the most likely
 * ones are taken that together reach top_p, and one of them is drawn. The same logits and seed give
 * the same tokens everywhere. */
typedef struct shrink_sampling {
    size_t struct_size;
    uint64_t seed;
    float temperature; /* 0: always the most likely token */
    float top_p;       /* 0 and 1: all */
    uint32_t top_k;    /* 0: all */
    uint32_t reserved; /* 0 */
} shrink_sampling;

static inline shrink_sampling shrink_sampling_default(void) {
    shrink_sampling sampling;
    memset(&sampling, 0, sizeof sampling);
    sampling.struct_size = sizeof sampling;
    return sampling;
}

/* Sets how a session of "generate" chooses, and starts its random numbers anew. NULL: the most likely token, which
 * is also what a new session does. [handle] */
shrink_code shrink_session_set_sampling(shrink_session *session, const shrink_sampling *sampling, shrink_error *error);

/* Chooses a token from the logits of the last feed of a session of "generate". The token is not fed. INVALID_ARGUMENT
 * when nothing was fed since the session was made, truncated or restored, or since a feed failed. [handle] */
shrink_code shrink_session_sample(shrink_session *session, uint32_t *token, shrink_error *error);

/* Called for each token of an answer, with the text that it makes certain (maybe none; zero bytes
 * may be in it; valid during the call). After the last token it is called once more with SHRINK_NO_TOKEN if there is
 * text left. Returns 0 to go on, anything else to stop. */
#define SHRINK_NO_TOKEN UINT32_MAX
typedef int (*shrink_token_fn)(void *context, uint32_t token, const char *text, size_t text_bytes);

enum {
    /* Goes on after a token that ends the model's text, and passes it on like the others. */
    SHRINK_GENERATE_IGNORE_STOP = 1u << 0
};

typedef struct shrink_generate_options {
    size_t struct_size;
    shrink_token_fn on_token; /* NULL: none */
    void *context;            /* of on_token */
    uint32_t max_tokens;      /* 0: until the context is full (INVALID_ARGUMENT when it has no limit) */
    uint32_t flags;           /* SHRINK_GENERATE_... */
} shrink_generate_options;

static inline shrink_generate_options shrink_generate_options_default(void) {
    shrink_generate_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    return options;
}

typedef enum shrink_stop {
    SHRINK_STOP_END = 0,     /* the model ended its text */
    SHRINK_STOP_LENGTH = 1,  /* max_tokens */
    SHRINK_STOP_CONTEXT = 2, /* the context is full */
    SHRINK_STOP_CALLER = 3,  /* on_token said so */
    SHRINK_STOP_ERROR = 4    /* the function returned an error */
} shrink_stop;

typedef struct shrink_generated {
    shrink_stop stop;
    uint32_t last_token;  /* the last one chosen, which the session does not hold: feed it before what follows.
                             SHRINK_NO_TOKEN when none was chosen */
    uint64_t token_count; /* passed to on_token, or that would have been */
} shrink_generated;

/* Feeds `count` (at least 1) tokens to a session of "generate", then chooses and feeds one token after the
 * other. Chooses as shrink_session_set_sampling said, which goes on where an earlier call left off. *generated
 * (NULL when not wanted) is filled in also when it fails, for example with SHRINK_ERROR_CANCELLED: the
 * session then holds what was fed before. A model without tokenizer generates without text and
 * stop tokens. Allocates nothing. [handle] */
shrink_code shrink_session_generate(
    shrink_session *session, const uint32_t *tokens, size_t count, const shrink_generate_options *options,
    shrink_generated *generated, shrink_error *error);

/* ----------------------------------------------------------------------------------- saved state */

/* What a session with state remembers of its tokens, as bytes: a prompt that many requests share is
 * computed once, saved, and restored before each. The bytes may be kept in a file and used on another machine:
 * they carry the model's fingerprint and a checksum, and restoring trusts none of them. The last
 * output, the sampling and the tokens themselves are not part of them. */

/* Bytes that shrink_session_save writes now. 0 for entries without state. [handle] */
size_t shrink_session_saved_bytes(const shrink_session *session);
/* LIMIT_EXCEEDED (detail: the need) when `capacity` is less. *byte_count (NULL when not wanted) is what was
 * written. INVALID_ARGUMENT for entries without state. [handle] */
shrink_code shrink_session_save(
    const shrink_session *session, void *buffer, size_t capacity, size_t *byte_count, shrink_error *error);
/* Replaces the session's tokens by the saved ones, of any session with state of a model of the same fingerprint
 * (context, chunk, threads and machine do not matter). INVALID_STATE for bytes that are damaged, made up or of another
 * model, LIMIT_EXCEEDED (detail: the need) when the context is too short. The session is empty when it
 * fails. The next call must feed at least one token: the state holds no output. [handle] */
shrink_code shrink_session_restore(
    shrink_session *session, const void *bytes, size_t byte_count, shrink_error *error);

#ifdef __cplusplus
}
#endif
#endif
