/* The least that a program does with a model: opens it and proves that it computes what it should. */
#include <shrink.h>
#include <stdio.h>

int main(int count, char **arguments) {
    shrink_error error;
    shrink_model *model;
    if (count != 2 || shrink_model_open(arguments[1], NULL, &model, &error) != SHRINK_OK) return 1;
    shrink_code code = shrink_model_self_test(model, NULL, 1, &error);
    puts(error.message);
    shrink_model_release(model);
    return code != SHRINK_OK;
}
